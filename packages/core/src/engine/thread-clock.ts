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
      const length = readSync(this.#file, this.#buffer, 0, this.#buffer.length, 0);
      const [cpu = NaN, delay = NaN] = this.#buffer.toString('latin1', 0, length).split(' ').map(Number);
      return cpu > 0 ? { cpuMs: cpu / 1e6, runDelayMs: delay / 1e6 } : undefined;
    } catch {
      return undefined;
    }
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}
