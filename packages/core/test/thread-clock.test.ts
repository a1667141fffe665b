import { readFileSync } from 'node:fs';
import { ThreadClock } from '../src/engine/thread-clock.js';

const onLinux = process.platform === 'linux' ? describe : describe.skip;

function schedstat(): { cpuMs: number; runDelayMs: number } {
  const [cpuNanos = NaN, runDelayNanos = NaN] = readFileSync('/proc/thread-self/schedstat', 'latin1')
    .split(' ')
    .map(Number);
  return { cpuMs: cpuNanos / 1e6, runDelayMs: runDelayNanos / 1e6 };
}

onLinux('ThreadClock', () => {
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
