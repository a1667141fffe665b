/**
 * The engine on `@datadog/pprof`, one level below its public functions.
 *
 * The public `time.stop()` serialises on the main thread (8-31 ms) and waits for sampling signals (10-18 ms); the native class
 * behind it hands out the raw tree in 1-4 ms. The package has no `exports` map, so the path resolves; the dependency is pinned
 * to the minor version because these are its internals.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { isMainThread } from 'node:worker_threads';
import { LoopprofError, messageOf } from '../errors.js';
import {
  ContextFrameLabels,
  HookedLabels,
  type ContextHolder,
  type LabellingProfiler,
} from './datadog-labels.js';
import type {
  CpuSampler,
  CpuSamplerOptions,
  Engine,
  HeapCounting,
  HeapSampler,
  HeapSamplerOptions,
  LabelTrack,
  RawCpuNode,
  RawCpuWindow,
  RawHeapNode,
} from './engine.js';
import { heapSamplerRuns, mayStopHeapSampler } from './heap-sharing.js';
import { nodeStartsHeapSampler, startNodeHeapSampler } from './node-heap-sampler.js';
import { OwnSession, type Inspector } from './own-session.js';
import { watchForRivals } from './rivals.js';

interface NativeTimeProfile {
  readonly topDownRoot: RawCpuNode;
  readonly nonJSThreadsCpuTime?: number;
}

interface NativeTimeProfiler extends LabellingProfiler {
  start(): void;
  stop(restart: boolean): NativeTimeProfile;
  stopAndCollect<T>(restart: boolean, convert: (profile: NativeTimeProfile) => T): T;
  v8ProfilerStuckEventLoopDetected(): number;
  dispose(): void;
}

interface TimeProfilerBindings {
  TimeProfiler: { new (options: Record<string, unknown>): NativeTimeProfiler; prototype: NativeTimeProfiler };
}

interface AsyncContextFrame {
  isAsyncContextFrameActive(): boolean;
}

interface HeapProfilerBindings {
  startSamplingHeapProfiler(intervalBytes: number, stackDepth: number, allocations?: boolean): void;
  stopSamplingHeapProfiler(): void;
  getAllocationProfile(): RawHeapNode;
  mapAllocationProfile<T>(convert: (root: RawHeapNode) => T): T;
  monitorOutOfMemory(
    extensionBytes: number,
    maxExtensions: number,
    dumpOnStderr: boolean,
    exportCommand: readonly string[],
    callback: undefined,
    callbackMode: number,
    isMainThread: boolean,
    automaticExtension: boolean,
  ): void;
}

const NODE_MAJOR = Number(process.versions.node.split('.')[0]);

/** Before, the addon takes every sampled object for live. */
const FIRST_NODE_THAT_COUNTS_BOTH = 26;

/**
 * The samples' buffer holds twice this stretch: how long the loop may be blocked before labels and CPU times of further
 * samples are lost.
 */
const BUFFERED_MILLIS = 60_000;

/**
 * The addon asks for the callback's id in its signal handler. Before Node 24 that may allocate a handle there, and with it wait for
 * ever for the allocator that the signal has interrupted; from 24 on the addon looks first whether there is room.
 */
const ASYNC_IDS_ARE_SAFE = Number(process.versions.node.split('.')[0]) >= 24;

/** Shorter windows can hold no hit at all, which the stuck-profiler check takes for a defect. */
const SHORTEST_TELLING_WINDOW_INTERVALS = 50;

const CERTAINLY_STUCK = 2;

/** `heap.CallbackMode.Async` of the package; there is no callback. */
const CALLBACK_ASYNC = 1;

export class DatadogCpuSampler implements CpuSampler {
  readonly #bindings: TimeProfilerBindings;
  readonly #contextFrame: AsyncContextFrame;
  #profiler: NativeTimeProfiler | undefined;
  #labels: LabelTrack | undefined;
  #intervalMicros = 0;
  #harvestedAt = 0;
  #suspicions = 0;
  #unwatch: () => void = () => {};

  constructor(bindings: TimeProfilerBindings, contextFrame: AsyncContextFrame) {
    this.#bindings = bindings;
    this.#contextFrame = contextFrame;
  }

  get labels(): LabelTrack | undefined {
    return this.#labels;
  }

  start({ intervalMicros, labels, onRival }: CpuSamplerOptions): void {
    const useCPED = labels && this.#contextFrame.isAsyncContextFrameActive();
    const store = useCPED ? new AsyncLocalStorage<ContextHolder>() : undefined;
    const profiler = new this.#bindings.TimeProfiler({
      durationMillis: BUFFERED_MILLIS,
      intervalMicros,
      lineNumbers: false,
      withContexts: true,
      workaroundV8Bug: false,
      collectCpuTime: true,
      collectAsyncId: ASYNC_IDS_ARE_SAFE,
      useCPED,
      CPEDKey: store,
      isMainThread,
    });
    profiler.start();
    this.#profiler = profiler;
    this.#unwatch = watchForRivals(this.#bindings.TimeProfiler, { ours: profiler, onRival });
    if (store) this.#labels = new ContextFrameLabels(profiler, store);
    else this.#labels = labels ? new HookedLabels(profiler) : undefined;
    this.#intervalMicros = intervalMicros;
    this.#harvestedAt = performance.now();
    this.#suspicions = 0;
  }

  harvest<T>(convert: (window: RawCpuWindow) => T): T {
    const profiler = this.#profiler;
    if (!profiler) throw new LoopprofError('LOOPPROF_NOT_STARTED', 'The CPU sampler is not running.');
    const result = profiler.stopAndCollect(true, ({ topDownRoot, nonJSThreadsCpuTime }) =>
      convert({ root: topDownRoot, otherThreadsCpuNanos: nonJSThreadsCpuTime, cpuMeasured: true }),
    );
    this.#restartIfStuck(profiler);
    return result;
  }

  stop(): void {
    const profiler = this.#profiler;
    this.#unwatch();
    this.#profiler = undefined;
    this.#labels = undefined;
    // Not `stop(false)`: it would build a tree that nobody reads.
    profiler?.stopAndCollect(false, () => undefined);
  }

  /**
   * V8's sampling thread can get stuck, spinning and delivering nothing; only a full stop and start frees it, at the price of
   * a cold start (70-190 ms). The check's lower level also fires on healthy profiles, so it must repeat before we believe it.
   */
  #restartIfStuck(profiler: NativeTimeProfiler): void {
    const now = performance.now();
    const windowMicros = (now - this.#harvestedAt) * 1000;
    this.#harvestedAt = now;
    if (windowMicros < SHORTEST_TELLING_WINDOW_INTERVALS * this.#intervalMicros) return;
    const level = profiler.v8ProfilerStuckEventLoopDetected();
    this.#suspicions = level === 0 ? 0 : this.#suspicions + 1;
    if (level < CERTAINLY_STUCK && this.#suspicions < 3) return;
    this.#suspicions = 0;
    profiler.stopAndCollect(false, () => undefined);
    profiler.start();
  }
}

class DatadogHeapSampler implements HeapSampler {
  readonly countsBoth = nodeStartsHeapSampler && NODE_MAJOR >= FIRST_NODE_THAT_COUNTS_BOTH;
  readonly #bindings: HeapProfilerBindings;
  #startedHere = false;
  #options: HeapSamplerOptions | undefined;
  /** The inspector's, where it started the sampler. */
  #session: OwnSession | undefined;

  constructor(bindings: HeapProfilerBindings) {
    this.#bindings = bindings;
  }

  get exclusive(): boolean {
    return this.#startedHere && mayStopHeapSampler();
  }

  start(options: HeapSamplerOptions): void {
    const { counting } = options;
    this.#startedHere = !heapSamplerRuns();
    if (counting !== 'live' && !this.#startedHere) throw new Error("V8's heap sampler runs already");
    this.#options = options;
    // The addon stops at exit what it was told to start, and so would stop Node's own --heap-prof.
    if (this.#startedHere) this.#startCounting(options);
  }

  #startCounting(options: HeapSamplerOptions): void {
    const { intervalBytes, stackDepth, counting } = options;
    if (counting === 'live') this.#bindings.startSamplingHeapProfiler(intervalBytes, stackDepth);
    else if (nodeStartsHeapSampler) startNodeHeapSampler(options);
    else this.#session = startInspectorHeapSampler(options);
    // V8's sampler runs already, without the full collection on each reading that the addon would start it with: here the
    // addon only learns how to read it.
    if (counting === 'both') this.#bindings.startSamplingHeapProfiler(intervalBytes, stackDepth, true);
  }

  read<T>(convert: (root: RawHeapNode) => T): T {
    return this.#counting === 'both'
      ? convert(this.#bindings.getAllocationProfile())
      : this.#bindings.mapAllocationProfile(convert);
  }

  exportWhenExhausted(command: readonly string[]): void {
    // The limit is raised once, by what one young generation takes, to make the profile in.
    this.#bindings.monitorOutOfMemory(0, 1, false, command, undefined, CALLBACK_ASYNC, isMainThread, true);
  }

  stop(): void {
    if (!this.#startedHere || !this.#options) return;
    if (this.#counting === 'live') {
      if (mayStopHeapSampler()) this.#bindings.stopSamplingHeapProfiler();
      return;
    }
    try {
      this.#bindings.stopSamplingHeapProfiler();
    } finally {
      this.#session?.close();
      this.#session = undefined;
    }
    // Who has come to share it wants it to run on, and to tell what is live.
    if (!mayStopHeapSampler()) this.#startCounting({ ...this.#options, counting: 'live' });
  }

  get #counting(): HeapCounting | undefined {
    return this.#options?.counting;
  }
}

/** By the inspector, which any Node can tell to keep what was collected. It runs until the session is closed. */
function startInspectorHeapSampler({ intervalBytes, stackDepth }: HeapSamplerOptions): OwnSession {
  const session = new OwnSession(require('node:inspector') as Inspector);
  try {
    session.post('HeapProfiler.startSampling', {
      samplingInterval: intervalBytes,
      stackDepth,
      includeObjectsCollectedByMajorGC: true,
      includeObjectsCollectedByMinorGC: true,
    });
    return session;
  } catch (error) {
    session.close();
    throw error;
  }
}

/** Loads the addon; throws LOOPPROF_ENGINE_UNAVAILABLE with the reason when it cannot. */
export function loadDatadogEngine(): Engine {
  try {
    const time = require('@datadog/pprof/out/src/time-profiler-bindings') as TimeProfilerBindings;
    const contextFrame = require('@datadog/pprof/out/src/async-context-frame') as AsyncContextFrame;
    const heap = require('@datadog/pprof/out/src/heap-profiler-bindings') as HeapProfilerBindings;
    const { version } = require('@datadog/pprof/package.json') as { version: string };
    return {
      name: 'datadog',
      version: `@datadog/pprof ${version}`,
      cpu: new DatadogCpuSampler(time, contextFrame),
      heap: new DatadogHeapSampler(heap),
    };
  } catch (error) {
    throw new LoopprofError(
      'LOOPPROF_ENGINE_UNAVAILABLE',
      `The engine "datadog" did not load: ${messageOf(error).split('\n')[0]?.replace(/\.$/, '')}. ` +
        'It needs the native addon of @datadog/pprof, which is prebuilt for Linux (glibc, musl), macOS and Windows.',
      { cause: error },
    );
  }
}
