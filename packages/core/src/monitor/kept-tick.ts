/** One object of `process.nextTick()`, kept so that all others stay cheap. */
import { executionAsyncResource } from 'node:async_hooks';

/** As it is when this is loaded: whoever fakes timers later puts one in its place that may never run. */
const nextTick = process.nextTick.bind(process);

/** Once a second. */
const BEATS_PER_KEEP = 50;

/**
 * KeptTick keeps V8 from forgetting what Node's ticks look like. Node makes them by a literal with computed keys, which V8 does fast
 * only as long as it knows their hidden classes, and it knows them weakly: the third full collection that meets no tick waiting, as
 * all do that run while the loop is idle, lets go of them, and from then on V8's runtime makes each tick, in four to sixteen times
 * the time; an Express app makes four per request and is a sixth slower on Node 24. A process that is recorded has more to collect,
 * and would come to that sooner; with one tick kept, none does.
 */
export class KeptTick {
  /** One at most. */
  readonly #kept: object[] = [];
  #beats = 0;
  #isWaiting = false;
  #isStopped = false;

  /** Called on every beat: what ticks look like may change as long as V8 learns. */
  beat(): void {
    if (this.#beats++ % BEATS_PER_KEEP !== 0 || this.#isWaiting) return;
    this.#isWaiting = true;
    nextTick(this.#keep);
  }

  stop(): void {
    this.#isStopped = true;
    this.#kept.length = 0;
  }

  /**
   * Once somebody has asked for a resource, Node takes a longer way into each callback from native code where the host has hooks on
   * asynchronous operations; an Express app with such hooks took no longer than before.
   */
  readonly #keep = (): void => {
    this.#isWaiting = false;
    try {
      const resource = executionAsyncResource() as { callback?: unknown };
      // Anything else is not of Node's making, and not ours to keep.
      if (!this.#isStopped && resource.callback === this.#keep) this.#kept[0] = resource;
    } catch {
      // It would be the host's uncaught exception.
    }
  };
}
