import { setTimeout as sleep } from 'node:timers/promises';

/** What `promise` gives if it does so within that time, else undefined. Does not keep the process alive. */
export async function within<T>(timeMs: number, promise: Promise<T>): Promise<T | undefined> {
  const patience = new AbortController();
  const late = sleep(timeMs, undefined, { ref: false, signal: patience.signal }).catch(() => undefined);
  try {
    return await Promise.race([promise, late]);
  } finally {
    patience.abort();
  }
}
