/** Everything that the monitors tell of a stretch of time, for a trace of it. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { PerformanceObserver, type PerformanceEntry } from 'node:perf_hooks';
import { gcKindOf, type GcKind } from './gc.js';
import { LoopTrace } from './loop-trace.js';
import type { BlockedStretch } from './monitor.js';
import type { RequestTiming } from './request-timing.js';

/** A garbage collection. Times are `performance.now()`. */
export interface Collection {
  readonly kind: GcKind;
  readonly startMs: number;
  readonly durationMs: number;
}

/** Kept of each kind; what comes later is counted. */
const MAX_KEPT = 20_000;

export class TraceRecording {
  readonly loop: LoopTrace;
  readonly collections: Collection[] = [];
  /** Requests that ended. */
  readonly requests: RequestTiming[] = [];
  readonly blocked: BlockedStretch[] = [];
  readonly startedAtMs = performance.now();
  #dropped = 0;
  readonly #observer = new PerformanceObserver((list) => this.#collected(list.getEntries()));
  readonly #onRequest = (timing: unknown): void => this.#keep(this.requests, timing as RequestTiming);
  readonly #onBlocked = (stretch: unknown): void => this.#keep(this.blocked, stretch as BlockedStretch);

  /** Begins to record; @param routeNow the route of the code that runs now, where that is known. */
  constructor(routeNow: () => string | undefined) {
    this.loop = new LoopTrace(routeNow);
    this.#observer.observe({ entryTypes: ['gc'] });
    subscribe('loopprof:request', this.#onRequest);
    subscribe('loopprof:blocked', this.#onBlocked);
    this.loop.start();
  }

  /** What was dropped because there was too much of it. */
  get dropped(): number {
    return this.#dropped + this.loop.dropped;
  }

  /** Ends what costs; what is told afterwards of the time before is still taken in until `close()`. */
  stop(): void {
    this.loop.stop();
  }

  close(): void {
    this.stop();
    this.#collected(this.#observer.takeRecords());
    this.#observer.disconnect();
    unsubscribe('loopprof:request', this.#onRequest);
    unsubscribe('loopprof:blocked', this.#onBlocked);
  }

  #collected(entries: readonly PerformanceEntry[]): void {
    for (const entry of entries) {
      const { startTime, duration } = entry;
      const { kind } = (entry as PerformanceEntry & { readonly detail: { readonly kind: number } }).detail;
      this.#keep(this.collections, { kind: gcKindOf(kind), startMs: startTime, durationMs: duration });
    }
  }

  #keep<T>(kept: T[], item: T): void {
    if (kept.length < MAX_KEPT) kept.push(item);
    else this.#dropped += 1;
  }
}
