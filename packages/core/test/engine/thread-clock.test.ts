import { existsSync, readFileSync } from 'node:fs';
import { ThreadClock } from '../../src/engine/thread-clock.js';

const FILE = '/proc/thread-self/schedstat';

function schedstat(): { cpuMs: number; runDelayMs: number } {
  const [cpuNanos = NaN, runDelayNanos = NaN] = readFileSync(FILE, 'latin1').split(' ').map(Number);
  return { cpuMs: cpuNanos / 1e6, runDelayMs: runDelayNanos / 1e6 };
}

/** A sandbox may have no such file, and some kernels count nothing. */
const counts = process.platform === 'linux' && existsSync(FILE) && schedstat().cpuMs > 0;

(counts ? describe : describe.skip)('ThreadClock', () => {
  test('tells what the system tells, again and again', () => {
    const clock = new ThreadClock();
    clock.open();
    try {
      for (let round = 0; round < 100; round++) {
        const before = schedstat();
        const times = clock.read();
        const after = schedstat();
        expect(times?.cpuMs).toBeGreaterThanOrEqual(before.cpuMs);
        expect(times?.cpuMs).toBeLessThanOrEqual(after.cpuMs);
        expect(times?.runDelayMs).toBeGreaterThanOrEqual(before.runDelayMs);
        expect(times?.runDelayMs).toBeLessThanOrEqual(after.runDelayMs);
      }
    } finally {
      clock.close();
    }
  });

  test('tells nothing unless it is open', () => {
    const clock = new ThreadClock();
    expect(clock.read()).toBeUndefined();
    clock.open();
    clock.close();
    expect(clock.read()).toBeUndefined();
  });
});
