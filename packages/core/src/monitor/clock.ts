import { performance } from 'node:perf_hooks';

/**
 * Reads the clock of `performance.now()`, in milliseconds. That method first looks whether it is called on what it belongs to, which
 * costs a request's processing more than reading the clock does; Node gives the bare clock as the getter of `nodeTiming.duration`.
 */
export const clockMs: () => number = bareClock() ?? (() => performance.now());

function bareClock(): (() => number) | undefined {
  const duration = Object.getOwnPropertyDescriptor(performance.nodeTiming, 'duration') as
    { readonly get?: (this: void) => unknown } | undefined;
  try {
    const before = performance.now();
    const reading = duration?.get?.();
    const isSame = typeof reading === 'number' && reading >= before && reading <= performance.now();
    return isSame ? (duration?.get as () => number) : undefined;
  } catch {
    return undefined;
  }
}
