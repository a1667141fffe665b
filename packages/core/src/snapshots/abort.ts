/** Waiting that its caller can give up, and that the process stays alive for. */
import { LoopprofError } from '../errors.js';

export function aborted(): LoopprofError {
  return new LoopprofError('LOOPPROF_ABORTED', 'The caller gave up before the snapshot was complete.');
}

/** The same promise, which rejects with LOOPPROF_ABORTED as soon as the signal aborts. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  let abort = (): void => {};
  const given = new Promise<never>((_resolve, reject) => {
    abort = () => reject(aborted());
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([promise, given]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/**
 * Keeps the process alive while somebody waits for what they have asked for. All timers of ours are unref'd: without this, a program
 * that has nothing left to do but to await `stop()` would end before its files are written.
 */
export async function keepAlive<T>(promise: Promise<T>): Promise<T> {
  const holder = setInterval(() => {}, 2 ** 30);
  try {
    return await promise;
  } finally {
    clearInterval(holder);
  }
}
