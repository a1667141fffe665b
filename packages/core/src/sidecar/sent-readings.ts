/** What was read on the main thread, as it is sent: stacks by the numbers of their frames, their values in columns. */
import type { StallsReading } from '../profiles/sources.js';
import type { ContentionReading } from '../recorder/contentions.js';
import type { Frame } from '../recorder/frames.js';
import type { AllocationReading, HeapReading } from '../recorder/heap-recorder.js';
import type { SentAllocations, SentContentions, SentHeap, SentStalls } from './protocol.js';
import type { SentStacks } from './transfer.js';

/** Gives numbers to the frames that have none yet, and tells the other side of them. */
type SendStacks = (stacks: readonly (readonly Frame[])[]) => SentStacks;

export function sentHeap({ stacks, ...rest }: HeapReading, send: SendStacks): SentHeap {
  return {
    ...rest,
    stacks: send(stacks.map(({ frames }) => frames)),
    objects: stacks.map(({ objects }) => objects),
    sizesBytes: stacks.map(({ sizeBytes }) => sizeBytes),
    allocObjects: rest.totals ? stacks.map(({ allocObjects }) => allocObjects) : [],
    allocBytes: rest.totals ? stacks.map(({ allocBytes }) => allocBytes) : [],
  };
}

export function sentAllocations({ stacks, ...rest }: AllocationReading, send: SendStacks): SentAllocations {
  return {
    ...rest,
    stacks: send(stacks.map(({ frames }) => frames)),
    objects: stacks.map(({ objects }) => objects),
    sizesBytes: stacks.map(({ sizeBytes }) => sizeBytes),
  };
}

export function sentStalls({ stalls, ...rest }: StallsReading, send: SendStacks): SentStalls {
  return {
    ...rest,
    stacks: send(stalls.flatMap(({ stacks }) => stacks.map(({ frames }) => frames))),
    stalls: stalls.map((stall) => ({
      ...stall,
      stacks: stall.stacks.map(({ durationMs }) => ({ durationMs })),
    })),
  };
}

export function sentContentions({ rows, overflowed }: ContentionReading, send: SendStacks): SentContentions {
  return {
    overflowed,
    stacks: send(rows.map(({ frames }) => frames)),
    labels: rows.map(({ labels }) => labels),
    counts: rows.map(({ count }) => count),
    delaysNanos: rows.map(({ delayNanos }) => delayNanos),
  };
}
