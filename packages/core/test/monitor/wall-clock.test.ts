import { WallClock } from '../../src/monitor/wall-clock.js';

afterEach(() => jest.restoreAllMocks());

/** A system whose wall clock is so many milliseconds ahead of the monotonic one. */
function system(aheadMs: number): { passed: (ms: number) => void; set: (aheadMs: number) => void } {
  let monotonicMs = 1000;
  jest.spyOn(performance, 'now').mockImplementation(() => monotonicMs);
  jest.spyOn(Date, 'now').mockImplementation(() => Math.floor(monotonicMs + aheadMs));
  return { passed: (ms) => (monotonicMs += ms), set: (ms) => (aheadMs = ms) };
}

it('tells more than whole milliseconds', () => {
  const aheadMs = performance.timeOrigin;
  const { passed } = system(aheadMs);
  const clock = new WallClock();
  for (let n = 0; n < 100; n++) {
    passed(10.37);
    expect(clock.offsetMs).toBeCloseTo(aheadMs, 3);
  }
});

it.each([3_600_000.4, -3_600_000.4, 0.7])('follows a clock that is set by %d ms', (byMs) => {
  const { passed, set } = system(performance.timeOrigin);
  const clock = new WallClock();
  expect(clock.offsetMs).toBeCloseTo(performance.timeOrigin, 3);
  set(performance.timeOrigin + byMs);
  for (let n = 0; n < 100; n++) {
    passed(10.37);
    expect(Math.abs(clock.offsetMs - performance.timeOrigin - byMs)).toBeLessThanOrEqual(1);
  }
  // Each reading has narrowed it down.
  expect(Math.abs(clock.offsetMs - performance.timeOrigin - byMs)).toBeLessThan(0.05);
});
