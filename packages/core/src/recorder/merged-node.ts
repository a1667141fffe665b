import type { Chunk } from './chunk.js';
import type { Frame } from './frames.js';
import type { StackTree } from './stack-tree.js';

/** The node of `tree` for a node of a chunk; `merged` holds those that are known, by the chunk's numbers, -1 for the others. */
export function mergedNode(
  chunk: Chunk,
  node: number,
  { merged, tree }: { merged: Int32Array; tree: StackTree },
): number {
  const known = merged[node] as number;
  if (known >= 0) return known;
  const parent = mergedNode(chunk, chunk.parents[node] as number, { merged, tree });
  return (merged[node] = tree.child(parent, chunk.frames[node] as Frame));
}
