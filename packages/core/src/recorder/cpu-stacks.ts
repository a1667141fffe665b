import type { LabelSet } from '../engine/engine.js';
import type { Chunk } from './chunk.js';
import { cpuTimesOf } from './cpu-time.js';
import { pseudoFrame, type Frame } from './frames.js';
import { looksOf, type ChunkLook } from './looks.js';
import { mergedNode } from './merged-node.js';
import type { SampleWindow } from './sample-store.js';
import { StackTree } from './stack-tree.js';

/** The CPU that one stack used in a window, under one set of labels. */
export interface CpuStack {
  readonly labels: LabelSet | undefined;
  /** Leaf first. */
  readonly frames: readonly Frame[];
  /** Looks that found the thread on the CPU in this stack. */
  samples: number;
  cpuNanos: number;
}

/** CPU of threads that run no JavaScript: libuv's pool (fs, dns, crypto, zlib), GC helpers, the compilers. */
export const OTHER_THREADS_FRAME = pseudoFrame('(other threads)');

/** CPU of turns that were too short for any look to see, and of the sampler's own signals. */
export const UNSAMPLED_FRAME = pseudoFrame('(unsampled)');

/** Looks summed up between two breaths. */
const LOOKS_PER_PIECE = 32;

/** A look with less CPU than this share of an interval found the thread waiting in a system call: it used time, not CPU. */
const ON_CPU_SHARE = 0.1;

/** Sums up the CPU of a window by stack; `breathe` is awaited between pieces, whatever the window's length. */
export async function cpuStacksOf(window: SampleWindow, breathe: () => Promise<void>): Promise<CpuStack[]> {
  const tree = new StackTree();
  const looks: ChunkLook[] = [];
  const mergedNodes: number[] = [];
  let otherThreadsNanos = 0;
  let lostNanos = 0;
  for (const chunk of window.chunks) {
    const merged = new Int32Array(chunk.frames.length).fill(-1);
    merged[0] = 0;
    for (const look of looksOf(chunk, {
      ...window,
      beforeMicros: looks.at(-1)?.timeMicros ?? window.fromMicros,
    })) {
      looks.push(look);
      mergedNodes.push(mergedNode(chunk, look.node, { merged, tree }));
      if (looks.length % LOOKS_PER_PIECE === 0) await breathe();
    }
    const share = overlapShare(chunk, window);
    otherThreadsNanos += chunk.otherThreadsCpuNanos * share;
    lostNanos += chunk.lostCpuNanos * share;
  }
  const intervalNanos = window.sampleIntervalMicros * 1000;
  const { nanos, unsampledNanos } = cpuTimesOf(looks, intervalNanos);
  const stacks = new Map<LabelSet | undefined, Map<number, CpuStack>>();
  for (const [index, { kind, labels }] of looks.entries()) {
    if (index % LOOKS_PER_PIECE === 0) await breathe();
    const cpuNanos = nanos[index] as number;
    if (kind === 'idle' || cpuNanos <= 0) continue;
    const node = mergedNodes[index] as number;
    let labelled = stacks.get(labels);
    if (!labelled) stacks.set(labels, (labelled = new Map<number, CpuStack>()));
    let stack = labelled.get(node);
    if (!stack) labelled.set(node, (stack = { labels, frames: tree.stack(node), samples: 0, cpuNanos: 0 }));
    stack.cpuNanos += cpuNanos;
    if (cpuNanos >= ON_CPU_SHARE * intervalNanos) stack.samples += 1;
  }
  const result = [...stacks.values()].flatMap((labelled) => [...labelled.values()]);
  for (const [frame, cpuNanos] of [
    [OTHER_THREADS_FRAME, otherThreadsNanos],
    [UNSAMPLED_FRAME, unsampledNanos + lostNanos],
  ] as const) {
    if (cpuNanos > 0)
      result.push({
        labels: undefined,
        frames: [frame],
        samples: Math.round(cpuNanos / intervalNanos),
        cpuNanos,
      });
  }
  return result;
}

/** Other threads' CPU is known per harvest only; a window that cuts one takes its share by time. */
function overlapShare(chunk: Chunk, { fromMicros, toMicros }: SampleWindow): number {
  const lengthMicros = chunk.toMicros - chunk.fromMicros;
  if (lengthMicros <= 0) return 0;
  return (Math.min(chunk.toMicros, toMicros) - Math.max(chunk.fromMicros, fromMicros)) / lengthMicros;
}
