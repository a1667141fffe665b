import type { HeapCounting, RawHeapNode } from '../engine/engine.js';
import type { Frame, FrameTable } from './frames.js';
import { StackTree } from './stack-tree.js';

/** What a heap sampler counted at one stack; V8's values are already scaled up from the samples. */
export interface HeapCounts {
  /** Live objects as of the last garbage collection. */
  readonly objects: number;
  readonly sizeBytes: number;
  /** All objects that were allocated, live or not; 0 where only live ones are counted. */
  readonly allocObjects: number;
  readonly allocBytes: number;
}

/** HeapStacks gives a stack the same number in every reading. */
export class HeapStacks {
  readonly #frameTable: FrameTable;
  readonly #tree = new StackTree();

  constructor(frameTable: FrameTable) {
    this.#frameTable = frameTable;
  }

  /** How many numbers are in use. */
  get size(): number {
    return this.#tree.size;
  }

  /** The frames of a stack, leaf first. */
  frames(stack: number): Frame[] {
    return this.#tree.stack(stack);
  }

  /** The number of a stack, leaf first. */
  number(frames: readonly Frame[]): number {
    return frames.reduceRight((node, frame) => this.#tree.child(node, frame), 0);
  }

  /** Copies what the engine lends us, by the number of the stack. */
  counts(root: RawHeapNode, counting: HeapCounting): Map<number, HeapCounts> {
    const found = new Map<number, HeapCounts>();
    const pending: { raw: RawHeapNode; node: number }[] = [{ raw: root, node: 0 }];
    for (;;) {
      const next = pending.pop();
      if (!next) return found;
      const { raw, node } = next;
      const counts = countsOf(raw.allocations, counting);
      if (counts.objects > 0 || counts.allocObjects > 0) found.set(node, counts);
      for (const child of raw.children) {
        pending.push({ raw: child, node: this.#tree.child(node, this.#frameTable.intern(child)) });
      }
    }
  }
}

function countsOf(allocations: RawHeapNode['allocations'], counting: HeapCounting): HeapCounts {
  let objects = 0;
  let sizeBytes = 0;
  let allocObjects = 0;
  let allocBytes = 0;
  for (const each of allocations) {
    if ('allocObjects' in each) {
      objects += each.inuseObjects;
      sizeBytes += each.inuseSpaceBytes;
      allocObjects += each.allocObjects;
      allocBytes += each.allocSpaceBytes;
    } else if (counting === 'live') {
      objects += each.count;
      sizeBytes += each.sizeBytes * each.count;
    } else {
      allocObjects += each.count;
      allocBytes += each.sizeBytes * each.count;
    }
  }
  return { objects, sizeBytes, allocObjects, allocBytes };
}
