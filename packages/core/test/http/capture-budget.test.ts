import type { LoopprofError } from '../../src/errors.js';
import { CaptureBudget } from '../../src/http/capture-budget.js';

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

const MIB = 1024 * 1024;

/** When it says to come again; undefined when it lets the capture begin. */
function retryAfter(budget: CaptureBudget, cost = 1): number | undefined {
  try {
    budget.begin(cost)(0);
    return undefined;
  } catch (error) {
    expect(error).toMatchObject({ code: 'LOOPPROF_TOO_MANY', status: 429 });
    return (error as LoopprofError).retryAfterSeconds;
  }
}

it('lets 64 captures run at once', () => {
  const budget = new CaptureBudget();
  const running = Array.from({ length: 64 }, () => budget.begin(1));
  expect(retryAfter(budget)).toBe(1);
  running[0]?.(0);
  expect(retryAfter(budget)).toBeUndefined();
});

it('has 600 captures to give, and 10 more every second', () => {
  const budget = new CaptureBudget();
  for (let capture = 0; capture < 600; capture++) budget.begin(1)(0);
  expect(retryAfter(budget)).toBe(1);
  expect(retryAfter(budget, 25)).toBe(3);
  jest.advanceTimersByTime(3000);
  expect(retryAfter(budget, 30)).toBeUndefined();
  expect(retryAfter(budget)).toBe(1);
  jest.advanceTimersByTime(3_600_000);
  for (let capture = 0; capture < 600; capture++) budget.begin(1)(0);
  expect(retryAfter(budget)).toBe(1);
});

it('counts bytes: 256 MiB, and 4 MiB more every second', () => {
  const budget = new CaptureBudget();
  budget.begin(1)(255 * MIB);
  budget.begin(1)(41 * MIB);
  expect(retryAfter(budget)).toBe(11);
  jest.advanceTimersByTime(11_000);
  expect(retryAfter(budget)).toBeUndefined();
});

it('is one with that of the sidecar', () => {
  const budget = new CaptureBudget();
  const sidecars = new CaptureBudget(budget.memory);
  for (let capture = 0; capture < 300; capture++) {
    budget.begin(1)(0);
    sidecars.begin(1)(0);
  }
  expect([retryAfter(budget), retryAfter(sidecars)]).toEqual([1, 1]);
  jest.advanceTimersByTime(60_000);
  sidecars.begin(1)(296 * MIB);
  expect([retryAfter(budget), retryAfter(sidecars)]).toEqual([11, 11]);
});

it('forgets what ran in a sidecar that has ended', () => {
  const budget = new CaptureBudget();
  const sidecars = new CaptureBudget(budget.memory);
  const running = Array.from({ length: 32 }, () => [budget.begin(1), sidecars.begin(1)]);
  expect([retryAfter(budget), retryAfter(sidecars)]).toEqual([1, 1]);
  const next = new CaptureBudget(budget.memory);
  for (let capture = 0; capture < 32; capture++) next.begin(1);
  expect([retryAfter(budget), retryAfter(next)]).toEqual([1, 1]);
  running[0]?.[0]?.(0);
  expect(retryAfter(next)).toBeUndefined();
});

it('takes nothing for what it refuses', () => {
  const budget = new CaptureBudget();
  for (let capture = 0; capture < 600; capture++) budget.begin(1)(0);
  for (let attempt = 0; attempt < 100; attempt++) expect(retryAfter(budget)).toBe(1);
  jest.advanceTimersByTime(1000);
  expect(retryAfter(budget, 10)).toBeUndefined();
});
