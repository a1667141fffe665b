/**
 * The engine on Node's own inspector: nothing to install, and nobody is in its way. Samples carry times, but no labels and no
 * thread CPU.
 *
 * Starting V8's CPU profiler costs 50-130 ms, and `Profiler.start` can run only once per session. `console.profile()` may run
 * several times at once on one profiler, so that each harvest starts the next recording before it ends the last, in 2 ms.
 */
import type * as inspectorModule from 'node:inspector';
import { LoopprofError, messageOf } from '../errors.js';
import { mainGlobal, mainProcess } from '../realm.js';
import type {
  CpuSampler,
  CpuSamplerOptions,
  Engine,
  HeapSampler,
  HeapSamplerOptions,
  RawCpuNode,
  RawCpuWindow,
  RawHeapNode,
  RawNode,
  RawSample,
} from './engine.js';
import { heapSamplerRuns, mayStopHeapSampler } from './heap-sharing.js';
import { hasNodeFlag } from './neighbours.js';
import { OwnSession, type Inspector } from './own-session.js';

type CpuProfile = inspectorModule.Profiler.Profile;
type CallFrame = inspectorModule.Runtime.CallFrame;

/** The protocol has more than Node's types for it. */
interface HeapNode {
  readonly id: number;
  readonly callFrame: CallFrame;
  readonly children: readonly HeapNode[];
}
interface SamplingProfile {
  readonly profile: {
    readonly head: HeapNode;
    readonly samples: readonly { readonly nodeId: number; readonly size: number }[];
  };
}

/** A look that comes late (a stopped process, a busy core) stands for no more than this many intervals. */
const MAX_GAP_INTERVALS = 2;

/**
 * The sampler never looks sooner than an interval after it has. V8 adds a look wherever it gives up optimised code, such as at the end of
 * a loop: with those, a loop that works for one interval and waits for another would seem to work for three quarters of the time.
 */
const LEAST_GAP_INTERVALS = 0.9;

let recordings = 0;

class InspectorCpuSampler implements CpuSampler {
  readonly labels = undefined;
  readonly #inspector: Inspector;
  #own: OwnSession | undefined;
  #intervalMicros = 0;
  #title = '';
  #harvesting = false;
  /** The recordings that have ended and nobody has taken yet. */
  #ended: EndedRecording[] = [];

  constructor(inspector: Inspector) {
    this.#inspector = inspector;
  }

  start({ intervalMicros }: CpuSamplerOptions): void {
    if (hasNodeFlag('--cpu-prof')) {
      throw new LoopprofError(
        'LOOPPROF_ENGINE_UNAVAILABLE',
        'The engine "inspector" does not sample beside --cpu-prof, by which Node would print all that it samples: leave out one of them.',
      );
    }
    const own = new OwnSession(this.#inspector);
    try {
      own.session.on('Profiler.consoleProfileFinished', ({ params: { title = '', profile } }) => {
        // Whatever the app records by console.profile() comes here too.
        if (title !== this.#title) return;
        this.#ended.push({ profile, endedMs: Date.now() });
        // The app's console.profileEnd() without a title ends the last that began, which is ours: it goes on as another.
        if (!this.#harvesting) this.#title = begin();
      });
      own.post('Profiler.enable');
      own.post('Profiler.setSamplingInterval', { interval: intervalMicros });
    } catch (error) {
      own.close();
      throw error;
    }
    this.#own = own;
    this.#intervalMicros = intervalMicros;
    this.#title = begin();
  }

  harvest<T>(convert: (window: RawCpuWindow) => T): T {
    if (!this.#own) throw new LoopprofError('LOOPPROF_NOT_STARTED', 'The CPU sampler is not running.');
    this.#harvesting = true;
    const ended: EndedRecording[] = [];
    try {
      const next = begin();
      mainGlobal.console.profileEnd(this.#title);
      this.#title = next;
      ended.push(...this.#ended);
      this.#ended = [];
    } finally {
      this.#harvesting = false;
    }
    const roots = ended.map((recording) => cpuTreeOf(recording, this.#intervalMicros));
    return convert({
      root: { ...EMPTY_ROOT, children: roots.flatMap(({ children }) => children) },
      otherThreadsCpuNanos: undefined,
      cpuMeasured: false,
    });
  }

  stop(): void {
    const own = this.#own;
    this.#own = undefined;
    if (!own) return;
    // With the session go its recordings.
    own.close();
    this.#ended = [];
  }
}

interface EndedRecording {
  readonly profile: CpuProfile;
  readonly endedMs: number;
}

function begin(): string {
  recordings += 1;
  const title = `loopprof ${mainProcess.pid} ${recordings}`;
  mainGlobal.console.profile(title);
  return title;
}

const EMPTY_ROOT: RawCpuNode = {
  name: '(root)',
  scriptName: '',
  scriptId: 0,
  lineNumber: 0,
  columnNumber: 0,
  hitCount: 0,
  children: [],
};

const IDLE = '(idle)';

/** The protocol's flat list as a tree, with every look at the node it found, and the time it stands for as its CPU unless idle. */
function cpuTreeOf({ profile, endedMs }: EndedRecording, intervalMicros: number): RawCpuNode {
  const { nodes, samples = [], timeDeltas = [], startTime, endTime } = profile;
  const built = new Map<
    number,
    RawCpuNode & { children: RawCpuNode[]; contexts: RawSample[]; hitCount: number }
  >();
  for (const { id, callFrame } of nodes) {
    built.set(id, { ...rawNodeOf(callFrame), hitCount: 0, children: [], contexts: [] });
  }
  for (const { id, children = [] } of nodes) {
    for (const child of children) {
      const raw = built.get(child);
      if (raw) built.get(id)?.children.push(raw);
    }
  }
  // The profile's clock counts from some moment of its own.
  const toEpochMicros = endedMs * 1000 - endTime;
  let timeMicros = startTime;
  let takenMicros: number | undefined;
  samples.forEach((id, index) => {
    timeMicros += timeDeltas[index] ?? 0;
    const sinceMicros = timeMicros - (takenMicros ?? startTime);
    const raw = built.get(id);
    if (!raw || (takenMicros !== undefined && sinceMicros < LEAST_GAP_INTERVALS * intervalMicros)) return;
    takenMicros = timeMicros;
    const gapMicros = Math.min(Math.max(0, sinceMicros), MAX_GAP_INTERVALS * intervalMicros);
    raw.hitCount += 1;
    raw.contexts.push({
      timestamp: BigInt(Math.round(timeMicros + toEpochMicros)),
      cpuTime: raw.name === IDLE ? 0 : gapMicros * 1000,
    });
  });
  return built.get(nodes[0]?.id ?? -1) ?? EMPTY_ROOT;
}

function rawNodeOf({
  functionName,
  url,
  scriptId,
  lineNumber,
  columnNumber,
}: CallFrame): Omit<RawNode, 'children'> {
  return {
    name: functionName,
    scriptName: url,
    scriptId: Number(scriptId),
    lineNumber: lineNumber + 1,
    columnNumber: columnNumber + 1,
  };
}

/**
 * The heap sampler stops with the session that has started it, and whoever has come to share it wants it to run on. One at most: once
 * it runs on, nobody here starts it again.
 */
const leftOpen: OwnSession[] = [];

class InspectorHeapSampler implements HeapSampler {
  readonly countsBoth = false;
  readonly #inspector: Inspector;
  #own: OwnSession | undefined;
  #startedHere = false;

  constructor(inspector: Inspector) {
    this.#inspector = inspector;
  }

  get exclusive(): boolean {
    return this.#startedHere && mayStopHeapSampler();
  }

  /** V8 has one heap sampler: one that somebody else has started is read, and left to them. */
  start({ intervalBytes, stackDepth, counting }: HeapSamplerOptions): void {
    this.#own ??= new OwnSession(this.#inspector);
    this.#startedHere = !heapSamplerRuns(this.#own);
    if (!this.#startedHere) return;
    const keepsCollected = counting !== 'live';
    this.#own.post('HeapProfiler.startSampling', {
      samplingInterval: intervalBytes,
      stackDepth,
      includeObjectsCollectedByMajorGC: keepsCollected,
      includeObjectsCollectedByMinorGC: keepsCollected,
    });
  }

  read<T>(convert: (root: RawHeapNode) => T): T {
    if (!this.#own) throw new LoopprofError('LOOPPROF_NOT_STARTED', 'The heap sampler is not running.');
    return convert(heapTreeOf(this.#own));
  }

  stop(): void {
    const own = this.#own;
    this.#own = undefined;
    if (!own) return;
    if (this.#startedHere && !mayStopHeapSampler()) {
      leftOpen.push(own);
      return;
    }
    try {
      if (this.#startedHere) own.post('HeapProfiler.stopSampling');
    } finally {
      own.close();
    }
  }
}

/** Sizes come scaled up, without the number of objects: a sampled object counts as one. */
function heapTreeOf(own: OwnSession): RawHeapNode {
  const { profile } = own.post<SamplingProfile>('HeapProfiler.getSamplingProfile');
  const allocations = new Map<number, { sizeBytes: number; count: number }[]>();
  for (const { nodeId, size } of profile.samples) {
    const known = allocations.get(nodeId);
    if (known) known.push({ sizeBytes: size, count: 1 });
    else allocations.set(nodeId, [{ sizeBytes: size, count: 1 }]);
  }
  const build = ({ id, callFrame, children }: HeapNode): RawHeapNode & { children: RawHeapNode[] } => ({
    ...rawNodeOf(callFrame),
    allocations: allocations.get(id) ?? [],
    children: children.map(build),
  });
  return build(profile.head);
}

/** Throws LOOPPROF_ENGINE_UNAVAILABLE with the reason where Node has no inspector. */
export function loadInspectorEngine(): Engine {
  try {
    const inspector = require('node:inspector') as Inspector;
    return {
      name: 'inspector',
      version: `inspector of Node ${mainProcess.version} (no labels, CPU as looks x interval)`,
      cpu: new InspectorCpuSampler(inspector),
      heap: new InspectorHeapSampler(inspector),
    };
  } catch (error) {
    throw new LoopprofError(
      'LOOPPROF_ENGINE_UNAVAILABLE',
      `The engine "inspector" did not load: ${messageOf(error)}. It needs a Node that was built with the inspector.`,
      { cause: error },
    );
  }
}
