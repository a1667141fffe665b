import type { Monitor } from '../monitor/monitor.js';
import type { ContentionReading } from '../recorder/contentions.js';
import type { Frame } from '../recorder/frames.js';
import type { HeapSource } from '../recorder/heap-recorder.js';
import type { Operations } from '../recorder/operations.js';
import type { SampleSource } from '../recorder/sample-store.js';
import type { Backlog, Stall } from '../recorder/stalls.js';
import type { Threads } from '../recorder/threads.js';
import type { Waits } from '../recorder/waits.js';
import type { Symbolizer } from '../symbols/symbolizer.js';

/** How the event loop is blocked at this moment. */
export interface BlockedState {
  /** In JavaScript, which the sidecar can interrupt, or in native code, which lets nothing in; where it may not try, unknown. */
  readonly kind: 'javascript' | 'native' | 'unknown';
  /** ISO 8601. */
  readonly since: string;
  readonly forMs: number;
  /** The route that was reached last; undefined when there was none. */
  readonly method: string | undefined;
  readonly route: string | undefined;
}

export interface StallsReading {
  readonly stallThresholdMs: number;
  /** Since the profiler started. */
  readonly count: number;
  readonly totalMs: number;
  readonly backlog: Readonly<Backlog>;
  /** The last ones, newest first. */
  readonly stalls: readonly Stall[];
  /** Whether some are not in it yet: what is known of them is complete within a moment. */
  readonly pending: boolean;
}

/** What the profiler itself costs, since it started. */
export interface Overhead {
  /** How often samples were taken in, and how long that held up the event loop. */
  readonly harvests: number;
  readonly harvestMs: number;
  /** Share of the time that those took. */
  readonly loopShare: number;
  /** How long the sidecar, a thread beside the event loop, was at work; undefined where there is none. */
  readonly sidecarActiveMs: number | undefined;
}

/** Labels of the code that runs, between `retain()` and `release()`. */
export interface RunningLabels {
  current(): Readonly<Record<string, string>> | undefined;
  retain(): void;
  release(): void;
}

/**
 * What profiles are made from, on the thread that is profiled or in the sidecar. What is not running throws the reason when it
 * is asked for.
 */
export interface ProfileSources {
  recorder(): SampleSource;
  heapRecorder(): HeapSource;
  stalls(): StallsReading | Promise<StallsReading>;
  /** The time of the stalls since the start, by stack. */
  blockReading(): ContentionReading | Promise<ContentionReading>;
  /** The stack that blocks the event loop, leaf first; undefined when none does. */
  stack(): readonly Frame[] | undefined | Promise<readonly Frame[] | undefined>;
  /** Null while the event loop turns. */
  blocked(): BlockedState | null;
  monitor(): Monitor;
  /** The same, after what was sampled up to now has told which routes ran. */
  settledMonitor(): Monitor;
  operations(): Operations;
  waits(): Waits;
  threads(): Threads;
  /** Age from which on a pending operation counts as leaked. */
  leakAgeMs(): number;
  overhead(): Overhead;
  /** The labels of the code that runs, on the thread that is profiled; undefined where there are none. */
  labels(): RunningLabels | undefined;
  readonly symbolizer: Symbolizer;
  /** Stands for the program in pprof's header. */
  readonly mappingFile: string;
}
