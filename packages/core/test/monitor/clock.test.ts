import { performance } from 'node:perf_hooks';

interface Property {
  readonly get?: (this: void) => unknown;
  readonly value?: unknown;
}

/** As it is when the module is loaded. */
function load(): () => number {
  jest.resetModules();
  return jest.requireActual<{ clockMs: () => number }>('../../src/monitor/clock.js').clockMs;
}

function expectTheClock(clockMs: () => number): void {
  const before = performance.now();
  const now = clockMs();
  expect(now).toBeGreaterThanOrEqual(before);
  expect(now).toBeLessThanOrEqual(performance.now());
}

describe('clockMs', () => {
  const { nodeTiming } = performance;
  const duration = Object.getOwnPropertyDescriptor(nodeTiming, 'duration') as Property;
  afterEach(() => Object.defineProperty(nodeTiming, 'duration', duration));

  it('reads the clock of performance.now(), bare', () => {
    const clockMs = load();
    for (let reading = 0; reading < 100; reading++) expectTheClock(clockMs);
    expect(clockMs).toBe(duration.get);
  });

  it.each<[string, Property]>([
    ['another clock', { get: () => 1 }],
    ['no number', { get: () => 'now' }],
    ['what cannot be called by itself', { get: () => nodeTiming.toJSON.call(undefined as never) as never }],
    ['no getter', { value: 1 }],
  ])('is performance.now() itself where Node has %s there', (_case, other) => {
    Object.defineProperty(nodeTiming, 'duration', { configurable: true, ...other });
    const clockMs = load();
    expect(clockMs).not.toBe(other.get);
    expectTheClock(clockMs);
  });
});
