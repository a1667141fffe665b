import { looksOf } from './looks.js';
import { mergedNode } from './merged-node.js';
import type { SampleWindow } from './sample-store.js';
import { StackTree } from './stack-tree.js';

/** A look at the thread: when, and at which node of the tree. */
export interface TimedLook {
  readonly timeMicros: number;
  readonly node: number;
}

/** Looks taken in between two breaths. */
const LOOKS_PER_PIECE = 32;

/**
 * The looks of a window one by one, in the order of time, and the tree of the stacks they found; `breathe` is awaited between
 * pieces.
 */
export async function timedLooksOf(
  window: SampleWindow,
  breathe: () => Promise<void>,
): Promise<{ tree: StackTree; looks: TimedLook[] }> {
  const tree = new StackTree();
  const looks: TimedLook[] = [];
  for (const chunk of window.chunks) {
    const merged = new Int32Array(chunk.frames.length).fill(-1);
    merged[0] = 0;
    for (const { timeMicros, node } of looksOf(chunk, { ...window, beforeMicros: window.fromMicros })) {
      looks.push({ timeMicros, node: mergedNode(chunk, node, { merged, tree }) });
      if (looks.length % LOOKS_PER_PIECE === 0) await breathe();
    }
  }
  return { tree, looks };
}
