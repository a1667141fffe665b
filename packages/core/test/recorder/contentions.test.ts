import { blockWeight, ContentionTable, mutexWeight } from '../../src/recorder/contentions.js';
import { pseudoFrame } from '../../src/recorder/frames.js';

const [main, lock, open, close] = ['main', 'lock', 'open', 'close'].map(pseudoFrame) as [
  ReturnType<typeof pseudoFrame>,
  ReturnType<typeof pseudoFrame>,
  ReturnType<typeof pseudoFrame>,
  ReturnType<typeof pseudoFrame>,
];

function shown(table: ContentionTable): unknown[] {
  return table
    .read()
    .rows.map(({ frames, labels, count, delayNanos }) => [
      frames.map(({ functionName }) => functionName).join(' < '),
      labels?.['route'],
      count,
      delayNanos,
    ]);
}

describe('a table of waits', () => {
  it('adds up by stack and labels, since its creation', () => {
    const table = new ContentionTable();
    const a = { route: '/a' };
    const b = { route: '/b' };
    table.add({ frames: [lock, main], labels: a, delayNanos: 10, weight: 1 });
    table.add({ frames: [lock, main], labels: a, delayNanos: 30, weight: 1 });
    table.add({ frames: [lock, main], labels: b, delayNanos: 5, weight: 1 });
    table.add({ frames: [lock, main], delayNanos: 7, weight: 1 });
    table.add({ frames: [main, lock], delayNanos: 1, weight: 1 });
    table.read();
    table.add({ frames: [lock, main], labels: b, delayNanos: 6, weight: 1 });
    expect(shown(table)).toEqual([
      ['lock < main', '/a', 2, 40],
      ['lock < main', '/b', 2, 11],
      ['lock < main', undefined, 1, 7],
      ['main < lock', undefined, 1, 1],
    ]);
    expect(table.read().overflowed).toBe(0);
  });

  it('lets a wait stand for as many as its weight says', () => {
    const table = new ContentionTable();
    table.add({ frames: [lock], delayNanos: 10, weight: 5 });
    table.add({ frames: [lock], delayNanos: 100, weight: 1 });
    expect(shown(table)).toEqual([['lock', undefined, 6, 150]]);
  });

  it('is bounded: further places share one row, and nothing is lost from the sums', () => {
    const table = new ContentionTable(2);
    table.add({ frames: [lock], delayNanos: 1, weight: 1 });
    table.add({ frames: [open], delayNanos: 2, weight: 1 });
    table.add({ frames: [close], delayNanos: 4, weight: 3 });
    table.add({ frames: [main], delayNanos: 8, weight: 1 });
    table.add({ frames: [open], delayNanos: 16, weight: 1 });
    expect(shown(table)).toEqual([
      ['lock', undefined, 1, 1],
      ['open', undefined, 2, 18],
      ['(other)', undefined, 4, 20],
    ]);
    expect(table.read().overflowed).toBe(4);
  });
});

describe("Go's sampling of waits", () => {
  it.each([
    { rate: 0, delay: 1e9, draw: 0, weight: 0 },
    { rate: 1, delay: 0, draw: 0.999, weight: 1 },
    { rate: 1000, delay: 1000, draw: 0.999, weight: 1 },
    { rate: 1000, delay: 5000, draw: 0.999, weight: 1 },
    { rate: 1000, delay: 250, draw: 0.24, weight: 4 },
    { rate: 1000, delay: 250, draw: 0.26, weight: 0 },
  ])('by duration: one of $delay ns at a rate of $rate weighs $weight', ({ rate, delay, draw, weight }) => {
    expect(blockWeight(delay, rate, () => draw)).toBe(weight);
  });

  it.each([
    { fraction: 0, draw: 0, weight: 0 },
    { fraction: 1, draw: 0.999, weight: 1 },
    { fraction: 4, draw: 0.24, weight: 4 },
    { fraction: 4, draw: 0.26, weight: 0 },
  ])('by fraction: one of $fraction weighs $weight', ({ fraction, draw, weight }) => {
    expect(mutexWeight(fraction, () => draw)).toBe(weight);
  });

  it('keeps count and delay unbiased', () => {
    const delays = Array.from({ length: 2000 }, (_, index) => 1 + (index % 100));
    const trueDelay = delays.reduce((sum, delay) => sum + delay, 0);
    // Every draw of an even grid once, so that the sums are exact up to the grid.
    const grid = Array.from({ length: 50 }, (_, index) => (index + 0.5) / 50);
    let count = 0;
    let delaySum = 0;
    for (const delay of delays) {
      for (const draw of grid) {
        const weight = blockWeight(delay, 80, () => draw) / grid.length;
        count += weight;
        delaySum += weight * delay;
      }
    }
    expect(Math.abs(count / delays.length - 1)).toBeLessThan(0.02);
    expect(Math.abs(delaySum / trueDelay - 1)).toBeLessThan(0.02);
  });
});
