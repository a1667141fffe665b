/** Tells when something settles without getting in the way of who waits for it. */
import { types } from 'node:util';

type Then = (onFulfilled?: unknown, onRejected?: unknown) => unknown;

/** Who is to be told of what is no plain promise; its `then` is ours from the first time on. */
const watchers = new WeakMap<object, Set<() => void>>();

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  try {
    return (
      typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
    );
  } catch {
    return false;
  }
}

/**
 * Calls `onSettled` when `waited` settles, at the latest when who waits for it hears of that, and gives what to wait for. That is
 * `waited` itself, since methods such as `cancel()` may be found on it and asking it may be what sets it to work; but a plain
 * promise has nothing of its own, and a rejection that nobody handles would count as handled if it was only looked at.
 */
export function watchSettling(waited: PromiseLike<unknown>, onSettled: () => void): PromiseLike<unknown> {
  if (isPlainPromise(waited)) return passOn(waited, onSettled);
  const known = watchers.get(waited);
  if (known) {
    known.add(onSettled);
    return waited;
  }
  const waiting = new Set([onSettled]);
  const { then } = waited as { then: Then };
  const ours: Then = (onFulfilled, onRejected) => {
    const told = (handler: unknown): unknown =>
      typeof handler !== 'function'
        ? handler
        : (...args: unknown[]): unknown => {
            for (const tell of waiting) tell();
            waiting.clear();
            return (handler as (...args: unknown[]) => unknown)(...args);
          };
    return then.call(waited, told(onFulfilled), told(onRejected));
  };
  try {
    Object.defineProperty(waited, 'then', { value: ours, configurable: true, writable: true });
    watchers.set(waited, waiting);
  } catch {
    // It is frozen.
  }
  return waited;
}

/** Whether it is a promise as an async function gives it: `await` asks no `then` of such a one. */
function isPlainPromise(value: PromiseLike<unknown>): boolean {
  return types.isPromise(value) && isTopLevel(Object.getPrototypeOf(value) as object);
}

/** Whether only `Object.prototype` stands above it, of whatever realm. */
function isTopLevel(prototype: object): boolean {
  const above = Object.getPrototypeOf(prototype) as object | null;
  return above !== null && Object.getPrototypeOf(above) === null;
}

function passOn(waited: PromiseLike<unknown>, onSettled: () => void): PromiseLike<unknown> {
  const passed = waited.then(
    (value) => {
      onSettled();
      return value;
    },
    (error: unknown) => {
      onSettled();
      throw error;
    },
  );
  // What somebody has put on it goes along.
  for (const name of Object.keys(waited))
    Object.defineProperty(passed, name, Object.getOwnPropertyDescriptor(waited, name) as PropertyDescriptor);
  return passed;
}
