import type { LabelSet, RawCpuNode, RawCpuWindow } from '../engine/engine.js';
import type { Frame, FrameTable } from './frames.js';

/** CPU time of a look that has none of its own: the next look's covers it. */
export const CPU_IN_NEXT = -1;

/** The samples between two harvests, in columns, oldest first. */
export interface Chunk {
  /** Microseconds since the epoch: the harvests that enclose the samples. */
  readonly fromMicros: number;
  readonly toMicros: number;
  /** The call tree: parents come before their children; node 0 is V8's root, which is no frame. */
  readonly parents: Uint32Array;
  readonly frames: readonly Frame[];
  readonly timesMicros: Float64Array;
  readonly nodes: Uint32Array;
  /** Thread CPU since the look before, or {@link CPU_IN_NEXT}. */
  readonly cpuNanos: Float64Array;
  /** Whether that is the thread's clock, or estimated from the looks. */
  readonly cpuMeasured: boolean;
  /** Which callback of the event loop ran; 0 where that is not known. */
  readonly asyncIds: Float64Array;
  /** Whether promise jobs had ids of their own, so that the ids do not tell callbacks apart. */
  readonly jobsHaveIds: boolean;
  /** Per sample; undefined when none has any. */
  readonly labels: readonly (LabelSet | undefined)[] | undefined;
  readonly otherThreadsCpuNanos: number;
  /** Thread CPU of looks that were lost. */
  lostCpuNanos: number;
  readonly sizeBytes: number;
}

interface Look {
  timeMicros: number;
  node: number;
  cpuNanos: number;
  asyncId: number;
  labels: LabelSet | undefined;
}

/** Columns per node (parent, frame pointer) and per sample (time, node, CPU, callback, labels), and the object around them. */
const NODE_BYTES = 12;
const SAMPLE_BYTES = 36;
const CHUNK_BYTES = 400;

/**
 * Copies what the engine lends us into a Chunk. This runs inside the pause of a harvest: every property of a raw node is a
 * call into C++, so each is read once.
 */
export function chunkOf(
  window: RawCpuWindow,
  frameTable: FrameTable,
  range: { fromMicros: number; toMicros: number; jobsHaveIds: boolean },
): Chunk {
  const parents: number[] = [];
  const frames: Frame[] = [];
  const looks: Look[] = [];
  let labelled = false;
  const pending: RawCpuNode[] = [window.root];
  const pendingParents: number[] = [0];
  for (;;) {
    const raw = pending.pop();
    if (raw === undefined) break;
    const node = parents.push(pendingParents.pop() as number) - 1;
    frames.push(frameTable.intern(raw));
    if (raw.hitCount > 0) {
      for (const { timestamp, cpuTime, asyncId, context } of raw.contexts ?? []) {
        labelled ||= context !== undefined;
        looks.push({
          timeMicros: Number(timestamp),
          node,
          cpuNanos: cpuTime ?? CPU_IN_NEXT,
          asyncId: asyncId !== undefined && asyncId > 0 ? asyncId : 0,
          labels: context as LabelSet | undefined,
        });
      }
    }
    for (const child of raw.children) {
      pending.push(child);
      pendingParents.push(node);
    }
  }
  looks.sort((a, b) => a.timeMicros - b.timeMicros);
  const chunk = {
    fromMicros: range.fromMicros,
    // The range's clock ticks in milliseconds, the samples' in microseconds.
    toMicros: Math.max(range.toMicros, (looks.at(-1)?.timeMicros ?? 0) + 1),
    parents: Uint32Array.from(parents),
    frames,
    timesMicros: new Float64Array(looks.length),
    nodes: new Uint32Array(looks.length),
    cpuNanos: new Float64Array(looks.length),
    asyncIds: new Float64Array(looks.length),
    labels: labelled ? looks.map(({ labels }) => labels) : undefined,
    jobsHaveIds: range.jobsHaveIds,
    cpuMeasured: window.cpuMeasured,
    lostCpuNanos: 0,
    otherThreadsCpuNanos: window.otherThreadsCpuNanos ?? 0,
    sizeBytes: CHUNK_BYTES + frames.length * NODE_BYTES + looks.length * SAMPLE_BYTES,
  };
  looks.forEach((look, index) => {
    chunk.timesMicros[index] = look.timeMicros;
    chunk.nodes[index] = look.node;
    chunk.cpuNanos[index] = look.cpuNanos;
    chunk.asyncIds[index] = look.asyncId;
  });
  return chunk;
}
