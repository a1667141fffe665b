/** Watches libuv's thread pool from the event loop: what is handed to it, and what comes back. */
import { executionAsyncResource } from 'node:async_hooks';
import { randomBytes } from 'node:crypto';
import { ForeignWork } from './foreign-work.js';
import { LoopLooks } from './loop-looks.js';
import type { PoolUse } from './operation-kinds.js';
import { threadPoolSize, ThreadPoolQueue } from './thread-pool.js';

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
  readonly #before: ForeignWork;
  #undecided: Undecided | undefined;
  #probed = false;
  #stopped = false;

  constructor(onSync: (id: number) => void) {
    this.#onSync = onSync;
    this.#queue = new ThreadPoolQueue(this.#threads, this.#threads);
    this.#before = new ForeignWork(this.#threads);
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
    else if (this.#queue.foreign > 0) this.#foreignStep(executionAsyncResource());
  }

  /** This operation is over: if it has not come back, it had not been handed to the pool. */
  drop(id: number): void {
    if (this.#undecided?.id === id) this.#undecided = undefined;
    else this.#queue.drop(id);
  }

  stop(): void {
    this.#stopped = true;
    this.#undecided = undefined;
  }

  #foreignStep(resource: object): void {
    if (this.#before.completed(resource) && this.#probed)
      this.#queue.setForeign(this.#before.threads, this.#loop.earliestMs());
  }

  /**
   * What was handed to the pool before the watch began is not known, but work is taken up in order: a piece of no length that we
   * hand to it now comes back when all of that has at least been taken up.
   */
  #probe(): void {
    const done = (): void => {
      if (this.#stopped) return;
      this.#probed = true;
      // How long it took does not tell whether it had to wait: a busy machine takes its time to wake a thread.
      this.#queue.setForeign(
        this.#before.threads,
        this.#before.tookAll ? this.#loop.earliestMs() : undefined,
      );
    };
    try {
      randomBytes(1, done);
    } catch {
      done();
    }
  }
}
