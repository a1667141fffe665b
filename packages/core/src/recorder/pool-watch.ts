/** Watches libuv's thread pool from the event loop: what is handed to it, and what comes back. */
import { executionAsyncResource } from 'node:async_hooks';
import { randomBytes } from 'node:crypto';
import { LoopLooks } from './loop-looks.js';
import type { PoolUse } from './operation-kinds.js';
import { threadPoolSize, ThreadPoolQueue } from './thread-pool.js';

/** The native objects that stand for work in the pool. */
const POOL_RESOURCE = /^(FSReq|GetAddrInfoReq|GetNameInfoReq|FileHandleCloseReq|Zlib|Brotli|Zstd)|Job$/;

/** Longer, and a piece of work of no length has had to wait. */
const WAITED_MS = 1;

export interface Submission {
  readonly id: number;
  readonly use: PoolUse;
  readonly onWaited: ((waitedMs: number) => void) | undefined;
}

interface Undecided extends Submission {
  readonly submittedMs: number;
  readonly resource: object;
}

export class PoolWatch {
  readonly #loop = new LoopLooks();
  readonly #threads = threadPoolSize();
  /** Told of work that did not go to the pool after all. */
  readonly #onSync: (id: number) => void;
  readonly #queue: ThreadPoolQueue;
  #undecided: Undecided | undefined;
  #probed = false;
  #stopped = false;

  constructor(onSync: (id: number) => void) {
    this.#onSync = onSync;
    this.#queue = new ThreadPoolQueue(this.#threads, this.#threads);
    this.#probe();
  }

  /** Work may have been handed to the pool for this native object; whether it was shows when its constructor has returned. */
  submit(submission: Submission, resource: object): void {
    this.decide();
    this.#undecided = { ...submission, submittedMs: performance.now(), resource };
  }

  /** Decides about the last submission: the synchronous functions of crypto make the same objects, and call nobody back. */
  decide(): void {
    const last = this.#undecided;
    if (!last) return;
    this.#undecided = undefined;
    const { resource } = last;
    const isSync = resource.constructor.name.endsWith('Job') && !('ondone' in resource && resource.ondone);
    if (isSync) this.#onSync(last.id);
    else this.#queue.submit(last.id, last);
  }

  /** The loop takes a step, in which this operation comes back. */
  step(id: number): void {
    this.#loop.step();
    this.decide();
    if (this.#queue.has(id)) this.#queue.complete(id, this.#loop.earliestMs());
    else if (this.#queue.foreign > 0 && this.#probed && isPoolResource(executionAsyncResource()))
      this.#queue.setForeign(this.#queue.foreign - 1, this.#loop.earliestMs());
  }

  stop(): void {
    this.#stopped = true;
    this.#undecided = undefined;
  }

  /**
   * What was handed to the pool before the watch began is not known, but work is taken up in order: a piece of no length that we
   * hand to it now comes back when all of that has at least been taken up.
   */
  #probe(): void {
    const submittedMs = performance.now();
    const done = (): void => {
      if (this.#stopped) return;
      this.#probed = true;
      const doneMs = this.#loop.earliestMs();
      this.#queue.setForeign(doneMs - submittedMs > WAITED_MS ? this.#threads - 1 : 0, doneMs);
    };
    try {
      randomBytes(1, done);
    } catch {
      done();
    }
  }
}

function isPoolResource(resource: object): boolean {
  return POOL_RESOURCE.test(resource.constructor.name);
}
