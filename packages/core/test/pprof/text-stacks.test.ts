import { AddressBook } from '../../src/pprof/address-book.js';
import type { PprofFrame } from '../../src/pprof/profile-data.js';
import { oneLine, TextStacks } from '../../src/pprof/text-stacks.js';

const frame = (name: string, line = 7): PprofFrame => ({ name, file: '/app/a.js', line, column: 1 });
const addressesOf = (stacks: TextStacks, ...stack: PprofFrame[]): number[] =>
  stacks.addresses(stack).split(' ').map(Number);

describe('the addresses of a text profile', () => {
  it('stand in the book as pprof asks for them, one less, and as they are written', () => {
    const book = new AddressBook();
    const stacks = new TextStacks();
    const stack = [frame('leaf'), frame('caller')];
    book.learn(['1 @ …', ...stacks.legend(stack), '', '# 0x1 no legend'].join('\n'));
    const [leaf, caller] = addressesOf(stacks, ...stack) as [number, number];
    expect([leaf - 1, leaf, caller - 1, caller].map((address) => book.nameAt(address))).toEqual([
      'leaf',
      'leaf',
      'caller',
      'caller',
    ]);
    expect([leaf + 1, 1].map((address) => book.nameAt(address))).toEqual([undefined, undefined]);
  });

  it('are the same in every profile', () => {
    expect(addressesOf(new TextStacks(), frame('a'))).toEqual(addressesOf(new TextStacks(), frame('a')));
    expect(addressesOf(new TextStacks(), frame('a'))).not.toEqual(
      addressesOf(new TextStacks(), frame('a', 8)),
    );
  });

  it('are forgotten when too many others came after them, and not before', () => {
    const book = new AddressBook();
    for (let n = 0; n < 50_000; n++) book.note(10 * n, `f${n}`);
    expect(book.nameAt(0)).toBe('f0');
    book.note(0, 'f0');
    book.note(1_000_000, 'one more');
    expect([0, 10, 20, 1_000_000].map((address) => book.nameAt(address))).toEqual([
      'f0',
      undefined,
      'f2',
      'one more',
    ]);
  });
});

it('keeps a line one line, and no longer than its readers take', () => {
  expect(oneLine('a\r\nb\u2028c')).toBe('a b c');
  expect(oneLine('x'.repeat(100_000)).length).toBeLessThan(64 * 1024);
});
