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
 * allocations keeps every sample, so that it has to begin anew now and then.
 */
export class AllocationTotals {
  readonly #stacks: HeapStacks;
  readonly #before = new Map<number, Allocated>();

  constructor(stacks: HeapStacks) {
    this.#stacks = stacks;
  }

  /** Adds a run that is over. */
  add(run: ReadonlyMap<number, HeapCounts>): void {
    for (const [stack, { allocObjects, allocBytes }] of run)
      this.#add(stack, { objects: allocObjects, sizeBytes: allocBytes });
  }

  /** The runs that are over and this one. */
  with(run: ReadonlyMap<number, HeapCounts>): Map<number, Allocated> {
    const sums = new Map(this.#before);
    for (const [stack, { allocObjects, allocBytes }] of run) {
      if (allocObjects > 0)
        sums.set(stack, plus(sums.get(stack), { objects: allocObjects, sizeBytes: allocBytes }));
    }
    return sums;
  }

  /** The same by other numbers. */
  renumbered(stacks: HeapStacks): AllocationTotals {
    const totals = new AllocationTotals(stacks);
    for (const [stack, allocated] of this.#before)
      totals.#add(stacks.number(this.#stacks.frames(stack)), allocated);
    return totals;
  }

  #add(stack: number, allocated: Allocated): void {
    if (allocated.objects === 0) return;
    const kept = this.#before.has(stack) || this.#before.size < MAX_STACKS;
    const row = kept ? stack : this.#stacks.number([OTHER_FRAME]);
    this.#before.set(row, plus(this.#before.get(row), allocated));
  }
}

function plus(sum: Allocated | undefined, { objects, sizeBytes }: Allocated): Allocated {
  return sum
    ? { objects: sum.objects + objects, sizeBytes: sum.sizeBytes + sizeBytes }
    : { objects, sizeBytes };
}
