/** Waiting that its caller can give up, and that the process stays alive for. */
import { LoopprofError } from '../errors.js';

export function aborted(): LoopprofError {
  return new LoopprofError('LOOPPROF_ABORTED', 'The caller gave up before the snapshot was complete.');
}

/** A signal until there is no way back: what has been done then is told to whoever has given up a moment later, too. */
export class Revocation {
  readonly #controller = new AbortController();
  readonly #given: AbortSignal | undefined;
  readonly #abort = (): void => this.#controller.abort();

  constructor(given: AbortSignal | undefined) {
    this.#given = given;
    if (given?.aborted) this.#abort();
    else given?.addEventListener('abort', this.#abort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** There is no way back from here; throws LOOPPROF_ABORTED when it has been given up before. */
  end(): void {
    this.release();
    if (this.signal.aborted) throw aborted();
  }

  /** Lets go of the caller's signal. */
  release(): void {
    this.#given?.removeEventListener('abort', this.#abort);
  }
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
