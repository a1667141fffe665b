import { AddressBook } from '../../src/pprof/address-book.js';
import { symbolDocument } from '../../src/profiles/symbol.js';

function ask(input: string, names: Record<number, string> = { 0x10abc: 'main' }): string[] {
  const book = new AddressBook();
  for (const [address, name] of Object.entries(names)) book.note(Number(address), name);
  return symbolDocument(book).read(input).split('\n');
}

describe("Go's symbol", () => {
  it('says that there are symbols, whatever it is asked', () => {
    expect(ask('')).toEqual(['num_symbols: 1', '']);
  });

  it('answers each address that it knows as it was asked, a line each', () => {
    expect(ask('0x10abc+0x20000+0x10ABB')).toEqual(['num_symbols: 1', '0x10abc main', '0x10abb main', '']);
  });

  it.each(['nonsense', '0x', '68284', '0x10abc 0x10abc', '+++', '0xffffffffffffffffffff', '%300x10abc'])(
    'leaves out what is no address: %s',
    (input) => {
      expect(ask(input)).toEqual(['num_symbols: 1', '']);
    },
  );

  it('gives each name on one line', () => {
    expect(ask('0x1', { 1: 'a\n0x2 b' })).toEqual(['num_symbols: 1', '0x1 a 0x2 b', '']);
  });

  // pprof would take these for C++ and leave nothing of the first two.
  it.each([
    ['<instance_members_initializer>', '{instance_members_initializer}'],
    ['(anonymous [id].js:3:1)', '{anonymous [id].js:3:1}'],
    ['get [Symbol.iterator]', 'get [Symbol.iterator]'],
    ['(anonymous a.js:3:1)', '(anonymous a.js:3:1)'],
    ['lone \ud800', 'lone \ufffd'],
  ])('writes %s so that pprof shows it', (name, shown) => {
    expect(ask('0x1', { 1: name })[1]).toBe(`0x1 ${shown}`);
  });
});
