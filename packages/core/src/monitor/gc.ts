import { constants, PerformanceObserver, type PerformanceEntry } from 'node:perf_hooks';
import { clockMs } from './clock.js';
import { oldGenerationBytes } from './heap-limit.js';
import { Intervals } from './intervals.js';

/** OpenTelemetry's `v8js.gc.type`. */
export type GcKind = 'major' | 'minor' | 'incremental' | 'weakcb';

/** V8's GCType; Node has no constant for 2, the young generation's mark-sweep. */
const KINDS: Record<number, GcKind> = {
  [constants.NODE_PERFORMANCE_GC_MAJOR]: 'major',
  [constants.NODE_PERFORMANCE_GC_MINOR]: 'minor',
  2: 'minor',
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL]: 'incremental',
  [constants.NODE_PERFORMANCE_GC_WEAKCB]: 'weakcb',
};

/** Upper bounds in milliseconds. Most collections of the young generation take less than one. */
export const GC_BOUNDARIES_MS: readonly number[] = [
  0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000,
];

export function gcKindOf(v8Kind: number): GcKind {
  return KINDS[v8Kind] ?? 'major';
}

export interface GcKindReport {
  readonly kind: GcKind;
  readonly count: number;
  readonly sumMs: number;
  readonly maxMs: number;
  /** Collections up to each of `boundariesMs`, not cumulative; the last one is those beyond. */
  readonly buckets: readonly number[];
}

export interface GcReport {
  readonly forMs: number;
  readonly count: number;
  readonly sumMs: number;
  readonly boundariesMs: readonly number[];
  readonly kinds: readonly GcKindReport[];
}

/** What is known of the collections of the old generation. */
export interface Collected {
  readonly times: number;
  /** What was in use when the event loop turned after the last one. */
  readonly leftBytes: number;
}

type GcEntry = PerformanceEntry & { readonly detail: { readonly kind: number } };

class KindCounts {
  count = 0;
  sumMs = 0;
  maxMs = 0;
  readonly buckets = new Uint32Array(GC_BOUNDARIES_MS.length + 1);
}

/** Told of every collection, in the order of their ends; times are `performance.now()`. */
export type GcListener = (startMs: number, durationMs: number) => void;

/** Counts every garbage collection of this thread. */
export class GcMonitor {
  /** When the thread was collecting. */
  readonly intervals = new Intervals();
  readonly #kinds = new Map<GcKind, KindCounts>();
  readonly #listener: GcListener;
  #observer: PerformanceObserver | undefined;
  #startedAtMs = 0;
  #collected: Collected = { times: 0, leftBytes: 0 };

  constructor(listener: GcListener) {
    this.#listener = listener;
  }

  start(): void {
    this.#startedAtMs = clockMs();
    this.#observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as GcEntry[]) {
        this.#record(gcKindOf(entry.detail.kind), entry.startTime, entry.duration);
      }
      const times = this.#kinds.get('major')?.count ?? 0;
      if (times > this.#collected.times) this.#collected = { times, leftBytes: oldGenerationBytes() };
    });
    this.#observer.observe({ entryTypes: ['gc'] });
  }

  stop(): void {
    this.#observer?.disconnect();
    this.#observer = undefined;
  }

  get count(): number {
    return [...this.#kinds.values()].reduce((sum, { count }) => sum + count, 0);
  }

  get sumMs(): number {
    return [...this.#kinds.values()].reduce((sum, { sumMs }) => sum + sumMs, 0);
  }

  get collected(): Collected {
    return this.#collected;
  }

  report(): GcReport {
    return {
      forMs: clockMs() - this.#startedAtMs,
      count: this.count,
      sumMs: this.sumMs,
      boundariesMs: GC_BOUNDARIES_MS,
      kinds: [...this.#kinds].map(([kind, { count, sumMs, maxMs, buckets }]) => ({
        kind,
        count,
        sumMs,
        maxMs,
        buckets: [...buckets],
      })),
    };
  }

  #record(kind: GcKind, startMs: number, durationMs: number): void {
    let counts = this.#kinds.get(kind);
    if (!counts) this.#kinds.set(kind, (counts = new KindCounts()));
    counts.count += 1;
    counts.sumMs += durationMs;
    counts.maxMs = Math.max(counts.maxMs, durationMs);
    const bucket = GC_BOUNDARIES_MS.findIndex((boundary) => durationMs <= boundary);
    counts.buckets[bucket < 0 ? GC_BOUNDARIES_MS.length : bucket]! += 1;
    this.intervals.add(startMs, startMs + durationMs);
    this.#listener(startMs, durationMs);
  }
}
