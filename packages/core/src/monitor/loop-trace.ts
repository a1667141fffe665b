/** What the event loop does, callback by callback, while somebody records it. */
import { createHook, executionAsyncResource, type AsyncHook } from 'node:async_hooks';
import { types } from 'node:util';

/** Something that held the thread. Times are `performance.now()`. */
export interface LoopSlice {
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
  /** Route that it ran for, where that is known. */
  readonly route: string | undefined;
}

/** One turn of the event loop, as far as it ran JavaScript. */
export interface LoopTurn {
  readonly startMs: number;
  readonly endMs: number;
  readonly callbacks: number;
}

/** Something that was waited for: a file, a name, a connection, a key. */
export interface LoopOperation {
  readonly name: string;
  readonly startMs: number;
  /** Undefined while it is pending. */
  endMs: number | undefined;
  readonly route: string | undefined;
}

/** Kept of each kind; what comes later is counted. */
const MAX_KEPT = 20_000;

/** What is shorter is counted, not listed. */
const SHORTEST_MS = 0.1;

/** Requests to libuv, Node's thread pool and others over the network: resources that are used once and then called back. */
const OPERATION = /REQUEST$|^FSREQ|REQWRAP$|^QUERYWRAP$|(?:CONNECT|WRITE|SHUTDOWN|SEND)WRAP$/;

interface Running {
  readonly startMs: number;
  readonly isPromise: boolean;
}

/**
 * LoopTrace records callbacks, turns and asynchronous operations between `start()` and `stop()`, by async_hooks: every
 * asynchronous step of the process costs something meanwhile.
 */
export class LoopTrace {
  readonly callbacks: LoopSlice[] = [];
  readonly turns: LoopTurn[] = [];
  readonly operations: LoopOperation[] = [];
  /** What no longer fitted. */
  dropped = 0;
  /** Turns that were too short to be listed, and how long they were together. */
  shortTurns = 0;
  shortTurnsMs = 0;
  readonly #routeNow: () => string | undefined;
  readonly #hook: AsyncHook;
  readonly #pending = new Map<number, LoopOperation>();
  readonly #running: Running[] = [];
  #turn: { loop: number; startMs: number; endMs: number; callbacks: number } | undefined;

  /** @param routeNow The route of the code that runs now, where that is known. */
  constructor(routeNow: () => string | undefined) {
    this.#routeNow = routeNow;
    // An exception in a hook would end the process.
    this.#hook = createHook({
      init: (asyncId, type) => {
        if (!OPERATION.test(type)) return;
        try {
          this.#begin(asyncId, type);
        } catch {
          this.dropped += 1;
        }
      },
      before: (asyncId) => {
        try {
          this.#before(asyncId);
        } catch {
          this.dropped += 1;
        }
      },
      after: () => {
        try {
          this.#after();
        } catch {
          this.dropped += 1;
        }
      },
    });
  }

  start(): void {
    this.#hook.enable();
  }

  stop(): void {
    this.#hook.disable();
    this.#closeTurn();
    this.#running.length = 0;
    this.#pending.clear();
  }

  #begin(asyncId: number, name: string): void {
    const operation = { name, startMs: performance.now(), endMs: undefined, route: this.#routeNow() };
    if (this.#keep(this.operations, operation)) this.#pending.set(asyncId, operation);
  }

  #before(asyncId: number): void {
    const isPromise = types.isPromise(executionAsyncResource());
    const startMs = performance.now();
    if (!isPromise) {
      if (this.#running.length === 0) this.#enterTurn(startMs);
      const operation = this.#pending.get(asyncId);
      if (operation) {
        operation.endMs = startMs;
        this.#pending.delete(asyncId);
      }
    }
    this.#running.push({ startMs, isPromise });
  }

  #after(): void {
    const running = this.#running.pop();
    // It began before the recording did.
    if (!running) return;
    const endMs = performance.now();
    if (this.#running.length === 0 && this.#turn) this.#turn.endMs = endMs;
    if (endMs - running.startMs < SHORTEST_MS) return;
    this.#keep(this.callbacks, {
      name: running.isPromise ? 'promise' : nameOf(executionAsyncResource()),
      startMs: running.startMs,
      endMs,
      route: this.#routeNow(),
    });
  }

  /** Timers, I/O and immediates that libuv runs in one pass belong to one turn. */
  #enterTurn(startMs: number): void {
    const loop = loopCount();
    if (this.#turn?.loop !== loop) {
      this.#closeTurn();
      this.#turn = { loop, startMs, endMs: startMs, callbacks: 0 };
    }
    this.#turn.callbacks += 1;
  }

  #closeTurn(): void {
    if (!this.#turn) return;
    const { startMs, endMs, callbacks } = this.#turn;
    this.#turn = undefined;
    if (endMs - startMs >= SHORTEST_MS) this.#keep(this.turns, { startMs, endMs, callbacks });
    else {
      this.shortTurns += 1;
      this.shortTurnsMs += endMs - startMs;
    }
  }

  #keep<T>(kept: T[], item: T): boolean {
    if (kept.length < MAX_KEPT) {
      kept.push(item);
      return true;
    }
    this.dropped += 1;
    return false;
  }
}

interface NodeTiming {
  readonly uvMetricsInfo?: { readonly loopCount: number };
}

/** How often libuv's loop has turned; -1 where Node does not say. */
function loopCount(): number {
  return (performance.nodeTiming as unknown as NodeTiming).uvMetricsInfo?.loopCount ?? -1;
}

const MAX_NAME_LENGTH = 60;

function nameOf(resource: object): string {
  const { name } = resource.constructor;
  return typeof name === 'string' && name !== '' && name !== 'Object'
    ? name.slice(0, MAX_NAME_LENGTH)
    : 'callback';
}
