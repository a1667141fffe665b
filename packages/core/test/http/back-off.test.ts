import { BackOff } from '../../src/http/back-off.js';

const ADDRESS = '192.0.2.1';

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

function fail(backOff: BackOff, times: number, address = ADDRESS): void {
  for (let time = 0; time < times; time++) backOff.noteFailure(address);
}

it('lets an address fail nine times, and makes it wait from the tenth on, twice as long each time, a minute at most', () => {
  const backOff = new BackOff();
  fail(backOff, 9);
  expect(backOff.waitMs(ADDRESS)).toBe(0);
  const waits = Array.from({ length: 9 }, () => {
    fail(backOff, 1);
    const wait = backOff.waitMs(ADDRESS);
    jest.advanceTimersByTime(wait);
    expect(backOff.waitMs(ADDRESS)).toBe(0);
    return wait / 1000;
  });
  expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60]);
});

it('forgets an address after ten minutes without a failure, not before', () => {
  const backOff = new BackOff();
  fail(backOff, 10);
  jest.advanceTimersByTime(590_000);
  fail(backOff, 1);
  expect(backOff.waitMs(ADDRESS)).toBe(2000);
  jest.advanceTimersByTime(600_001);
  fail(backOff, 1);
  expect(backOff.waitMs(ADDRESS)).toBe(0);
});

it.each([
  ['192.0.2.1', '192.0.2.2', 0],
  ['192.0.2.1', '::ffff:192.0.2.1', 1000],
  ['2001:db8:1:2::1', '2001:db8:1:2:ffff:1:2:3', 1000],
  ['2001:db8::1', '2001:db8:0:0:5::', 1000],
  ['2001:db8:1:2::1', '2001:db8:1:3::1', 0],
  ['::1', '::2', 1000],
])('makes of what %s did for %s a wait of %d ms', (guilty, other, waitMs) => {
  const backOff = new BackOff();
  fail(backOff, 10, guilty);
  expect(backOff.waitMs(other)).toBe(waitMs);
});

it('keeps ten thousand addresses at most', () => {
  const backOff = new BackOff();
  fail(backOff, 10);
  for (let host = 0; host < 10_000; host++) backOff.noteFailure(`10.0.${host >> 8}.${host & 255}`);
  expect(backOff.waitMs(ADDRESS)).toBe(0);
});
