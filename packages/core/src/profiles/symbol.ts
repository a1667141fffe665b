import type { AddressBook } from '../pprof/address-book.js';
import { oneLine } from '../pprof/text-stacks.js';
import type { TextDocument } from './text-document.js';

/** Names for addresses, which pprof asks for after it has read a profile as text. */
export function symbolDocument(addresses: AddressBook): TextDocument {
  return {
    name: 'symbol',
    description:
      'Names of the functions behind the addresses of a profile that was served as text: 0x… joined by +, as the query or posted.',
    post: true,
    polled: true,
    read: (input) => {
      // pprof only asks whether this is more than zero.
      const lines = ['num_symbols: 1'];
      for (const word of input.split('+')) {
        if (!/^0x[0-9a-f]{1,13}$/i.test(word)) continue;
        const name = addresses.nameAt(Number(word));
        if (name !== undefined) lines.push(`${word.toLowerCase()} ${oneLine(plain(name))}`);
      }
      return `${lines.join('\n')}\n`;
    },
  };
}

/** pprof takes names with these in them for C++, and cuts out what stands in round and angle brackets. */
function plain(name: string): string {
  return /[<>[\]]|::/.test(name)
    ? name.toWellFormed().replace(/[(<]/g, '{').replace(/[)>]/g, '}')
    : name.toWellFormed();
}
