import { Intervals } from '../../src/monitor/intervals.js';

function intervalsOf(...stretches: [number, number][]): Intervals {
  const intervals = new Intervals();
  for (const [start, end] of stretches) intervals.add(start, end);
  return intervals;
}

describe('Intervals', () => {
  it.each([
    ['all of it', 0, 100, 30],
    ['nothing before', 0, 10, 0],
    ['nothing after', 60, 100, 0],
    ['nothing between', 21, 39, 0],
    ['a part at the start', 0, 15, 5],
    ['a part at the end', 50, 100, 10],
    ['parts of two', 15, 45, 10],
    ['a part inside one', 12, 14, 2],
  ])('tells how much of a range is covered: %s', (_case, from, to, covered) => {
    expect(intervalsOf([10, 20], [40, 60]).coveredMs(from, to, 0)).toBe(covered);
  });

  it('counts once what is covered twice', () => {
    const intervals = intervalsOf([10, 20], [15, 25], [11, 12]);
    expect(intervals.totalMs).toBe(15);
    expect(intervals.coveredMs(0, 100, 0)).toBe(15);
  });

  it('agrees with adding up by hand, for any ranges', () => {
    const stretches: [number, number][] = [];
    for (let at = 0, n = 0; n < 500; n++) {
      const start = at + ((n * 7919) % 13);
      at = start + ((n * 104_729) % 17);
      if (at > start) stretches.push([start, at]);
    }
    const intervals = intervalsOf(...stretches);
    for (let n = 0; n < 300; n++) {
      const from = (n * 31) % 5000;
      const to = from + ((n * 17) % 900);
      const byHand = stretches.reduce(
        (sum, [start, end]) => sum + Math.max(0, Math.min(end, to) - Math.max(start, from)),
        0,
      );
      expect(intervals.coveredMs(from, to, 0)).toBe(byHand);
    }
  });

  it('settles a range that began before the oldest stretch it keeps by the total of that time', () => {
    const intervals = new Intervals();
    for (let n = 0; n < 10_000; n++) intervals.add(10 * n, 10 * n + 1);
    // At 5.5 one stretch was over; of the 8 192 kept ones the oldest is far later.
    expect(intervals.coveredMs(5.5, 100_000, 1)).toBe(9999);
  });

  it('has nothing to cover only where nothing does, whatever came before and was forgotten', () => {
    const intervals = new Intervals();
    const seen = { mayCover: 0, covered: 0, neither: 0 };
    for (let n = 0; n < 20_000; n++) {
      intervals.add(n * 10, n * 10 + 3);
      // Those of the last 50 stretches, in the order of their ends, and now and then one of long ago.
      const to = n * 10 - 500 + ((n * 7919) % 10);
      const from = to - ((n * 104_729) % 13);
      const covered = intervals.coveredMs(from, to, intervals.totalMs) > 0;
      const may = intervals.mayCover(from, to);
      expect(may || !covered).toBe(true);
      if (n % 1000 === 999) expect(intervals.mayCover(to - 9000, to - 8990)).toBe(true);
      seen[covered ? 'covered' : may ? 'mayCover' : 'neither'] += 1;
    }
    // A look that always says so would save nothing.
    expect(seen.neither).toBeGreaterThan(5 * seen.mayCover);
    expect(seen.covered).toBeGreaterThan(5000);
  });

  it('may cover what was asked for after more has come than is kept', () => {
    const intervals = intervalsOf([10, 20]);
    expect(intervals.mayCover(12, 14)).toBe(true);
    for (let n = 10; n < 30_000; n++) intervals.add(n * 10, n * 10 + 3);
    expect(intervals.mayCover(299_990, 299_992)).toBe(true);
    expect(intervals.mayCover(299_994, 299_999)).toBe(false);
  });
});
