import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readdirSync } from 'node:fs';
import type { Worker } from 'node:worker_threads';
import type { CallSites } from './call-sites.js';
import { shownFrames } from './creation.js';
import { pseudoFrame, type Frame } from './frames.js';
import { threadPoolSize } from './thread-pool.js';

/** Node tells here of every worker thread that is created. */
const CHANNEL = 'worker_threads';

/** A worker thread that runs. */
export interface WorkerThread {
  /** Where it was created, leaf first. */
  readonly frames: readonly Frame[];
  readonly name: string;
  /** Whether it is ours. */
  readonly own: boolean;
  /** By the monotonic clock. */
  readonly startedMs: number;
}

/** Threads of the process that run no JavaScript of the app's. */
export interface NativeThreads {
  readonly frames: readonly Frame[];
  readonly name: string;
  readonly count: number;
}

interface KnownWorker {
  readonly worker: Worker;
  readonly frames: readonly Frame[];
  readonly startedMs: number;
}

const MAIN = { name: 'main', frames: [pseudoFrame('(main thread)')], count: 1 };
const POOL = { name: 'libuv-worker', frames: [pseudoFrame("(libuv's thread pool)")] };
const OTHERS = { name: 'native', frames: [pseudoFrame("(V8's threads and others)")] };
const OWN = [pseudoFrame('(loopprof)')];

/**
 * The threads of the process: worker threads that were created since `start()`, libuv's pool, the others. Node tells of no worker
 * thread that runs already: those are among the others.
 */
export class Threads {
  readonly #callSites: CallSites;
  readonly #workers = new Set<KnownWorker>();

  constructor(callSites: CallSites) {
    this.#callSites = callSites;
  }

  start(): void {
    subscribe(CHANNEL, this.#onWorker);
  }

  stop(): void {
    unsubscribe(CHANNEL, this.#onWorker);
    this.#workers.clear();
  }

  workers(): WorkerThread[] {
    return [...this.#workers].map(({ worker, frames, startedMs }) => ({
      frames,
      startedMs,
      name: nameOf(worker),
      own: frames === OWN,
    }));
  }

  /** All threads but the workers; those of V8 and addons only where the system tells how many there are. */
  natives(): NativeThreads[] {
    const pool = { ...POOL, count: threadPoolSize() };
    const others = (countThreads() ?? 0) - MAIN.count - pool.count - this.#workers.size;
    return [MAIN, pool, ...(others > 0 ? [{ ...OTHERS, count: others }] : [])];
  }

  readonly #onWorker = (message: unknown): void => {
    const { worker } = message as { worker: Worker };
    const all = this.#callSites.take(this.#onWorker);
    const known = { worker, frames: shownFrames(all, undefined) ?? OWN, startedMs: performance.now() };
    this.#workers.add(known);
    worker.once('exit', () => this.#workers.delete(known));
  };
}

/** Node tells names from 22.20 and 24.6 on. */
function nameOf(worker: Worker): string {
  const { threadName } = worker as Worker & { threadName?: string | null };
  return threadName || `worker ${worker.threadId}`;
}

/** All threads of the process, where the system tells. */
function countThreads(): number | undefined {
  try {
    return readdirSync('/proc/self/task').length;
  } catch {
    return undefined;
  }
}
