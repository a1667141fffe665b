import { closeSync, openSync, readSync } from 'node:fs';

/** What the system has given this thread, since it began. */
export interface ThreadTimes {
  readonly cpuMs: number;
  /** Ready to run, but waiting for a core; also while the process's cgroup is throttled. */
  readonly runDelayMs: number;
}

/**
 * Tells what the scheduler gives the calling thread, from a file that stays open: it is read on every beat of the event loop.
 * Linux only; the CPU time may lag by a scheduler tick.
 */
export class ThreadClock {
  readonly #buffer = Buffer.alloc(64);
  #file: number | undefined;

  open(): void {
    if (process.platform !== 'linux') return;
    try {
      this.#file = openSync('/proc/thread-self/schedstat', 'r');
    } catch {
      // A kernel or a sandbox without it: what it would tell is not known then.
    }
  }

  read(): ThreadTimes | undefined {
    if (this.#file === undefined) return undefined;
    try {
      return timesIn(this.#buffer, readSync(this.#file, this.#buffer, 0, this.#buffer.length, 0));
    } catch {
      return undefined;
    }
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}

const ZERO = 48;

/** The first two numbers, digit by digit: text and its parts would take as long to make as the file takes to read. */
function timesIn(text: Uint8Array, length: number): ThreadTimes | undefined {
  let cpuNanos = 0;
  let runDelayNanos = 0;
  let field = 0;
  for (let at = 0; at < length && field < 2; at++) {
    const digit = (text[at] as number) - ZERO;
    if (digit < 0) field += 1;
    else if (field === 0) cpuNanos = cpuNanos * 10 + digit;
    else runDelayNanos = runDelayNanos * 10 + digit;
  }
  return cpuNanos > 0 ? { cpuMs: cpuNanos / 1e6, runDelayMs: runDelayNanos / 1e6 } : undefined;
}
