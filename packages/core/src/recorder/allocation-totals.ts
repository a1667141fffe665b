import { pseudoFrame } from './frames.js';
import type { HeapCounts, HeapStacks } from './heap-counts.js';

/** All that was allocated at one stack. */
export interface Allocated {
  readonly objects: number;
  readonly sizeBytes: number;
}

/** Stacks kept apart; scrapers and stores take profiles of up to 16 000 samples. */
const MAX_STACKS = 10_000;

/** Stacks beyond that, together. */
const OTHER_FRAME = pseudoFrame('(other)');

/**
 * AllocationTotals adds up what was allocated over the runs of a sampler, by the number of the stack: a sampler that counts all
 * allocations keeps every sample, so that it has to begin anew now and then. Which row a stack belongs to is decided when it is
 * first seen, so that no value falls when a run ends.
 */
export class AllocationTotals {
  readonly #stacks: HeapStacks;
  readonly #before = new Map<number, Allocated>();
  readonly #kept = new Set<number>();
  #other: number | undefined;

  constructor(stacks: HeapStacks) {
    this.#stacks = stacks;
  }

  /** Adds a run that is over. */
  add(run: ReadonlyMap<number, HeapCounts>): void {
    for (const [stack, { allocObjects, allocBytes }] of run) {
      if (allocObjects > 0) this.#add(this.#rowOf(stack), { objects: allocObjects, sizeBytes: allocBytes });
    }
  }

  /** All that was allocated in the runs that are over and in this one, and what of this one is live. */
  with(run: ReadonlyMap<number, HeapCounts>): Map<number, HeapCounts> {
    const sums = new Map<number, HeapCounts>();
    for (const [stack, { objects, sizeBytes }] of this.#before)
      sums.set(stack, { objects: 0, sizeBytes: 0, allocObjects: objects, allocBytes: sizeBytes });
    for (const [stack, counts] of run) {
      if (counts.allocObjects === 0) continue;
      const row = this.#rowOf(stack);
      sums.set(row, sumOf(sums.get(row), counts));
    }
    return sums;
  }

  /** The same by other numbers. */
  renumbered(stacks: HeapStacks): AllocationTotals {
    const totals = new AllocationTotals(stacks);
    for (const [stack, allocated] of this.#before) {
      const row =
        stack === this.#other ? totals.#otherRow() : totals.#rowOf(stacks.number(this.#stacks.frames(stack)));
      totals.#add(row, allocated);
    }
    return totals;
  }

  #rowOf(stack: number): number {
    if (this.#kept.has(stack)) return stack;
    if (this.#kept.size >= MAX_STACKS) return this.#otherRow();
    this.#kept.add(stack);
    return stack;
  }

  #otherRow(): number {
    return (this.#other ??= this.#stacks.number([OTHER_FRAME]));
  }

  #add(row: number, { objects, sizeBytes }: Allocated): void {
    const sum = this.#before.get(row);
    this.#before.set(row, {
      objects: objects + (sum?.objects ?? 0),
      sizeBytes: sizeBytes + (sum?.sizeBytes ?? 0),
    });
  }
}

function sumOf(sum: HeapCounts | undefined, counts: HeapCounts): HeapCounts {
  if (!sum) return counts;
  return {
    objects: sum.objects + counts.objects,
    sizeBytes: sum.sizeBytes + counts.sizeBytes,
    allocObjects: sum.allocObjects + counts.allocObjects,
    allocBytes: sum.allocBytes + counts.allocBytes,
  };
}
