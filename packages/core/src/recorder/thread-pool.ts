import type { PoolUse } from './operation-kinds.js';

/** libuv's default, and its limit. */
const DEFAULT_THREADS = 4;
const MAX_THREADS = 1024;

/** How many threads libuv's pool has: it reads the variable once, when the pool is first used. */
export function threadPoolSize(setting = process.env['UV_THREADPOOL_SIZE']): number {
  if (setting === undefined) return DEFAULT_THREADS;
  const threads = Number.parseInt(setting, 10);
  return Number.isNaN(threads) || threads < 1 ? 1 : Math.min(MAX_THREADS, threads);
}

/** How many of them take work on names at most. */
export function threadsForNames(threads: number): number {
  return Math.floor((threads + 1) / 2);
}

/** A piece of work that was handed to the pool. */
export interface PoolJob {
  readonly use: PoolUse;
  /** By the monotonic clock. */
  readonly submittedMs: number;
  /** Told when a thread takes it up, if it had to wait for one. */
  readonly onWaited?: ((waitedMs: number) => void) | undefined;
}

/**
 * The queue before libuv's thread pool, told from outside: work is taken up in the order of its submission, whenever a thread is
 * free, and work on names by at most half of the threads.
 */
export class ThreadPoolQueue {
  readonly #threads: number;
  readonly #threadsForNames: number;
  readonly #running = new Map<number, { readonly use: PoolUse; readonly startedMs: number }>();
  readonly #waiting = { any: new Map<number, PoolJob>(), names: new Map<number, PoolJob>() };
  #namesRunning = 0;
  /** Threads that are busy with work from before the watch began. */
  #foreign: number;

  /** While `foreign` work has not been completed, as many threads are taken. */
  constructor(threads: number, foreign = 0) {
    this.#threads = threads;
    this.#threadsForNames = threadsForNames(threads);
    this.#foreign = foreign;
  }

  get foreign(): number {
    return this.#foreign;
  }

  has(id: number): boolean {
    return this.#running.has(id) || this.#waiting.any.has(id) || this.#waiting.names.has(id);
  }

  submit(id: number, job: PoolJob): void {
    if (this.#hasThreadFor(job.use)) this.#start(id, job, job.submittedMs);
    else this.#queueOf(job).set(id, job);
  }

  /** Work is done, at `doneMs`. */
  complete(id: number, doneMs: number): void {
    const running = this.#running.get(id);
    if (running) {
      this.#release(id, running.use);
      this.#takeUp(Math.max(running.startedMs, doneMs));
      return;
    }
    // Work that was done before it was taken up: a thread was free that seemed to be taken.
    if (this.#forget(id)) this.setForeign(0);
  }

  /** Work never comes back: it has not been handed over after all. */
  drop(id: number): void {
    const running = this.#running.get(id);
    if (!running) return void this.#forget(id);
    this.#release(id, running.use);
    this.#takeUp();
  }

  /**
   * Only that many threads are busy with work from before the watch began, the others since `freeMs`; without that they have been
   * free all the time, and nobody has waited for them.
   */
  setForeign(threads: number, freeMs?: number): void {
    if (threads >= this.#foreign) return;
    this.#foreign = threads;
    this.#takeUp(freeMs);
  }

  #release(id: number, use: PoolUse): void {
    this.#running.delete(id);
    if (use === 'names') this.#namesRunning -= 1;
  }

  #forget(id: number): boolean {
    return this.#waiting.any.delete(id) || this.#waiting.names.delete(id);
  }

  #takeUp(freeMs = -Infinity): void {
    for (let next = this.#next(); next; next = this.#next()) {
      const [id, job] = next;
      this.#queueOf(job).delete(id);
      this.#start(id, job, Math.max(freeMs, job.submittedMs));
    }
  }

  #start(id: number, { use, submittedMs, onWaited }: PoolJob, startedMs: number): void {
    this.#running.set(id, { use, startedMs });
    if (use === 'names') this.#namesRunning += 1;
    if (startedMs > submittedMs) onWaited?.(startedMs - submittedMs);
  }

  #hasThreadFor(use: PoolUse): boolean {
    if (this.#running.size + this.#foreign >= this.#threads) return false;
    return use !== 'names' || this.#namesRunning < this.#threadsForNames;
  }

  #queueOf({ use }: PoolJob): Map<number, PoolJob> {
    return use === 'names' ? this.#waiting.names : this.#waiting.any;
  }

  /** The work that has waited longest, of that for which there is a thread. */
  #next(): [number, PoolJob] | undefined {
    const any = this.#hasThreadFor('any') ? first(this.#waiting.any) : undefined;
    const names = this.#hasThreadFor('names') ? first(this.#waiting.names) : undefined;
    if (!any || !names) return any ?? names;
    return any[1].submittedMs <= names[1].submittedMs ? any : names;
  }
}

function first<K, V>(map: ReadonlyMap<K, V>): [K, V] | undefined {
  for (const entry of map) return entry;
  return undefined;
}
