import { setTimeout as sleep } from 'node:timers/promises';
import { LoopprofError } from '../errors.js';

/** Waits without keeping the process alive; rejects with LOOPPROF_ABORTED when `signal` aborts. */
export async function abortableSleep(durationMs: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(durationMs, undefined, { ref: false, ...(signal ? { signal } : {}) });
  } catch (error) {
    throw new LoopprofError('LOOPPROF_ABORTED', 'The caller gave up before the profile was complete.', {
      cause: error,
    });
  }
}
