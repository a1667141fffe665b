import { CPU_IN_NEXT } from '../../src/recorder/chunk.js';
import { cpuTimesOf, type Look } from '../../src/recorder/cpu-time.js';
import type { FrameKind } from '../../src/recorder/frames.js';

const INTERVAL = 10_000_000;

/** A look at the regular distance; `cpu` in shares of an interval. */
function look(kind: FrameKind, cpu: number, gap = 1): Look {
  return { kind, gapNanos: gap * INTERVAL, cpuNanos: cpu === CPU_IN_NEXT ? CPU_IN_NEXT : cpu * INTERVAL };
}

/** What comes out, in shares of an interval. */
function shares(looks: readonly Look[]): { looks: number[]; unsampled: number } {
  const { nanos, unsampledNanos } = cpuTimesOf(looks, INTERVAL);
  return { looks: [...nanos].map((value) => value / INTERVAL), unsampled: unsampledNanos / INTERVAL };
}

const sum = (values: Iterable<number>) => [...values].reduce((total, value) => total + value, 0);

/** Small and repeatable (mulberry32): a failure can be run again. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe('the sum', () => {
  const KINDS: FrameKind[] = ['code', 'idle', 'program', 'gc'];
  function randomLooks(random: () => number): Look[] {
    return Array.from({ length: Math.floor(random() * 60) }, () => {
      const kind = KINDS[Math.floor(random() * KINDS.length)] as FrameKind;
      const withoutCpu = kind === 'program' && random() < 0.8;
      // Signals held back give gaps of none and of many intervals; a look after a harvest carries what is owed.
      const gap = random() < 0.1 ? 0 : random() < 0.1 ? random() * 20 : 0.5 + random();
      const cpu = random() < 0.3 ? random() * 0.01 : random() < 0.1 ? random() * 8 : random();
      return look(kind, withoutCpu ? CPU_IN_NEXT : cpu, gap);
    });
  }

  it('is the CPU that the looks carry, whatever their sequence, and no part of it is negative', () => {
    const wrong: object[] = [];
    for (let seed = 1; seed <= 500; seed++) {
      const looks = randomLooks(randomFrom(seed));
      const { nanos, unsampledNanos } = cpuTimesOf(looks, INTERVAL);
      const carried = sum(looks.map(({ cpuNanos }) => Math.max(0, cpuNanos)));
      const missing = Math.abs(sum(nanos) + unsampledNanos - carried);
      const lowest = Math.min(0, unsampledNanos, ...nanos);
      // Doubles round: to a thousandth of a nanosecond.
      if (missing > 1e-3 || lowest < -1e-3) wrong.push({ seed, missing, lowest });
    }
    expect(wrong).toEqual([]);
  });

  it('gives idle looks nothing', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const looks = randomLooks(randomFrom(seed));
      const { nanos } = cpuTimesOf(looks, INTERVAL);
      expect([...nanos].filter((value, index) => looks[index]?.kind === 'idle' && value !== 0)).toEqual([]);
    }
  });

  it('of no looks is nothing', () => {
    expect(shares([])).toEqual({ looks: [], unsampled: 0 });
  });
});

describe('a look', () => {
  it('at work is charged the CPU that was measured', () => {
    expect(shares([look('code', 1), look('code', 0.7), look('gc', 0.9)])).toEqual({
      looks: [1, 0.7, 0.9],
      unsampled: 0,
    });
  });

  it('blocked in a system call is charged almost none, however long it took', () => {
    expect(shares([look('code', 1), look('code', 0.02, 5), look('code', 1)]).looks[1]).toBeCloseTo(0.02, 9);
  });

  it('of (program) shares the CPU of the look after it, by time', () => {
    const { looks, unsampled } = shares([
      look('code', 1),
      look('program', CPU_IN_NEXT, 0.5),
      look('code', 1.5, 1),
    ]);
    expect(looks[0]).toBe(1);
    expect(looks[1]).toBeCloseTo(0.5, 9);
    expect(looks[2]).toBeCloseTo(1, 9);
    expect(unsampled).toBe(0);
  });

  it('of (program) with no time of its own shares evenly', () => {
    expect(shares([look('program', CPU_IN_NEXT, 0), look('code', 1, 0)]).looks).toEqual([0.5, 0.5]);
  });

  it('of (program) at the end, with no look after it, has nothing', () => {
    expect(shares([look('code', 1), look('program', CPU_IN_NEXT)])).toEqual({ looks: [1, 0], unsampled: 0 });
  });

  it('that is idle after work gives the rest of that turn to the look that saw it', () => {
    const { looks, unsampled } = shares([look('code', 1), look('idle', 0.4)]);
    expect(looks).toEqual([1.4, 0]);
    expect(unsampled).toBe(0);
  });

  it('that is idle after (program) gives the rest of that turn to (program)', () => {
    expect(shares([look('idle', 0), look('program', CPU_IN_NEXT), look('idle', 0.6)])).toEqual({
      looks: [0, 0.6, 0],
      unsampled: 0,
    });
  });

  it("that is idle never gives the look before it more than that look's own time", () => {
    const { looks, unsampled } = shares([look('code', 1), look('idle', 3)]);
    expect(looks[0]).toBe(2);
    expect(unsampled).toBeCloseTo(2, 9);
  });

  it('that comes late stands for two intervals at most', () => {
    const { looks, unsampled } = shares([look('code', 0, 50), look('idle', 10)]);
    expect(looks[0]).toBe(2);
    expect(unsampled).toBeCloseTo(8, 9);
  });

  it('between idle looks is topped up to its own time from what idle looks carry of unseen turns', () => {
    const unseen = Array.from({ length: 5 }, () => look('idle', 0.1));
    const { looks, unsampled } = shares([...unseen, look('code', 0.5), look('idle', 0)]);
    expect(looks[5]).toBeCloseTo(1, 9);
    expect(unsampled).toBeCloseTo(0, 9);
  });

  it('between idle looks is topped up by twice what it lacks at most, as a busy core shows fewer', () => {
    const unseen = Array.from({ length: 20 }, () => look('idle', 0.2));
    const { looks, unsampled } = shares([...unseen, look('code', 0.5), look('idle', 0)]);
    expect(looks[20]).toBeCloseTo(1.5, 9);
    expect(unsampled).toBeCloseTo(3, 9);
  });

  it('between idle looks shares what there is when that is not enough for all', () => {
    const { looks, unsampled } = shares([
      look('idle', 0.3),
      look('code', 0.5),
      look('idle', 0),
      look('code', 0.8),
      look('idle', 0),
    ]);
    // 0.3 unseen for 0.5 + 0.2 lacking.
    expect(looks[1]).toBeCloseTo(0.5 + (0.5 * 0.3) / 0.7, 9);
    expect(looks[3]).toBeCloseTo(0.8 + (0.2 * 0.3) / 0.7, 9);
    expect(unsampled).toBeCloseTo(0, 9);
  });

  it('beside other work is not topped up', () => {
    const { looks, unsampled } = shares([
      look('idle', 0.5),
      look('code', 0.5),
      look('code', 0.5),
      look('idle', 0),
    ]);
    expect(looks).toEqual([0, 0.5, 0.5, 0]);
    expect(unsampled).toBeCloseTo(0.5, 9);
  });

  it("that is idle after idle with less than a signal costs is nobody's", () => {
    const signals = Array.from({ length: 10 }, () => look('idle', 0.005));
    const { looks, unsampled } = shares([...signals, look('code', 0.5), look('idle', 0)]);
    expect(looks[10]).toBe(0.5);
    expect(unsampled).toBeCloseTo(0.05, 9);
  });
});
