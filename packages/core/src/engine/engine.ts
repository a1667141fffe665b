/**
 * The narrow interface to V8's profilers. Everything that touches them lives in this folder, one file per engine.
 */

/** A node of the sampled call tree. Valid only while the callback that received it runs. */
export interface RawNode {
  readonly name: string;
  readonly scriptName: string;
  readonly scriptId: number;
  /** 1-based; with timed samples the function's first line, 0 when unknown. */
  readonly lineNumber: number;
  /** 1-based, 0 when unknown. */
  readonly columnNumber: number;
  readonly children: readonly RawNode[];
}

/** One look at the main thread. */
export interface RawSample {
  /** What labelled the code that ran, if anything did. */
  readonly context?: object | undefined;
  /** Microseconds since the epoch. */
  readonly timestamp: bigint;
  /** Nanoseconds of thread CPU since the previous look that has one; `(program)` looks have none, the next one covers them. */
  readonly cpuTime?: number | undefined;
  /**
   * Which callback of the event loop ran. Its promise jobs have 0 instead (their own while `HookedLabels` are on), and -1 stands
   * for not known.
   */
  readonly asyncId?: number | undefined;
}

export interface RawCpuNode extends RawNode {
  readonly hitCount: number;
  readonly contexts?: readonly RawSample[] | undefined;
  readonly children: readonly RawCpuNode[];
}

/** What the sampler saw since the harvest before. */
export interface RawCpuWindow {
  readonly root: RawCpuNode;
  /** CPU that threads without JavaScript (GC helpers, libuv's pool, the compiler) used meanwhile; undefined if not known. */
  readonly otherThreadsCpuNanos: number | undefined;
  /** Whether `cpuTime` of its samples is thread CPU; where not, it is the time that the sample stands for, 0 when idle. */
  readonly cpuMeasured: boolean;
}

/** What was allocated at one size: objects that are live, or all, by what the sampler was told to count. */
export interface RawAllocation {
  readonly sizeBytes: number;
  readonly count: number;
}

/** The same where live objects and all that were allocated are told apart. */
export interface RawAllocationTotals {
  readonly inuseObjects: number;
  readonly inuseSpaceBytes: number;
  readonly allocObjects: number;
  readonly allocSpaceBytes: number;
}

export interface RawHeapNode extends RawNode {
  readonly allocations: readonly (RawAllocation | RawAllocationTotals)[];
  readonly children: readonly RawHeapNode[];
}

export interface CpuSamplerOptions {
  intervalMicros: number;
  /** Whether samples may carry labels. */
  labels: boolean;
  /** Called when somebody else is about to start the profiler of this engine, and would fail because we have it; may stop us. */
  onRival: () => void;
}

/** Labels of the code that runs: names and values. One object per distinct set, so that sets compare by identity. */
export type LabelSet = Readonly<Record<string, string>>;

/** Puts labels on samples, across `await`, timers and callbacks. */
export interface LabelTrack {
  /**
   * Whether labels are on all the time at almost no cost. Where not, they are on between `retain()` and `release()`, and cost
   * something on every asynchronous step meanwhile.
   */
  readonly always: boolean;
  /** Labels the rest of the current turn and all that follows from it. `isBeginning`: it was that of no request before. */
  enter(labels: LabelSet, isBeginning: boolean): void;
  /** Labels what `callback` does and all that follows from it. */
  run<T>(labels: LabelSet, callback: () => T): T;
  /** The labels in force here. */
  current(): LabelSet | undefined;
  retain(): void;
  release(): void;
  /** Whether promise jobs had async ids of their own at any time since this was last asked. */
  takeJobIds(): boolean;
}

/**
 * What a heap sampler counts: the objects that are live as of the last garbage collection, all that were allocated since it
 * began, or both.
 */
export type HeapCounting = 'live' | 'all' | 'both';

export interface HeapSamplerOptions {
  /** Mean distance between two samples. */
  intervalBytes: number;
  stackDepth: number;
  /** Where more is counted than what is live, every sample is kept until `stop()`, about 100 bytes each. */
  counting: HeapCounting;
}

/**
 * The CPU sampler of this thread. `harvest` may run inside a blocked event loop, so it must not wait for anything.
 */
export interface CpuSampler {
  start(options: CpuSamplerOptions): void;
  /** While it runs: how samples get labels; undefined when they get none. */
  readonly labels: LabelTrack | undefined;
  /** Gives what was sampled since the last harvest to `convert`, while sampling goes on. */
  harvest<T>(convert: (window: RawCpuWindow) => T): T;
  stop(): void;
}

export interface HeapSampler {
  /** Whether `both` can be counted: V8 tells the dead from the living from Node 26 on. */
  readonly countsBoth: boolean;
  /** Whether it runs for us alone: V8 has one per thread, and whoever comes later shares it. */
  readonly exclusive: boolean;
  /** Throws when it cannot count that. */
  start(options: HeapSamplerOptions): void;
  /** Gives the sampled allocations to `convert`; throws when the sampler is not running (any more). */
  read<T>(convert: (root: RawHeapNode) => T): T;
  /**
   * Where the engine can: runs `command` when the heap is exhausted, with the path of a file behind it that holds the live sampled
   * allocations (a RawHeapNode as JSON), and waits for its end before the process goes on to die. Holds until `stop()`.
   */
  exportWhenExhausted?(command: readonly string[]): void;
  stop(): void;
}

/** An engine that has loaded. */
export interface Engine {
  readonly name: string;
  /** What the index page and the log add after the name. */
  readonly version: string;
  readonly cpu: CpuSampler;
  readonly heap: HeapSampler;
}
