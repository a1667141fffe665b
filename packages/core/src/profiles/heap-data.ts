import type { HeapStats } from '../pprof/heap-text.js';
import type { ProfileData, ValueType } from '../pprof/profile-data.js';
import { pseudoFrame } from '../recorder/frames.js';
import type { HeapReading, HeapStack } from '../recorder/heap-recorder.js';
import type { Shown } from '../symbols/symbolizer.js';
import type { Breathe } from './pacer.js';
import type { ProfileSources } from './sources.js';

/** Memory of Buffers and ArrayBuffers, which lies outside V8's heap and in no sample of it. */
const ARRAY_BUFFERS_FRAME = pseudoFrame('(array buffers)');

/** Other memory that native code has told V8 about: external strings, compiled WebAssembly, addons. */
const EXTERNAL_FRAME = pseudoFrame('(external)');

export const ALLOCATED_TYPES: readonly ValueType[] = [
  { type: 'alloc_objects', unit: 'count' },
  { type: 'alloc_space', unit: 'bytes' },
];

const IN_USE_TYPES: readonly ValueType[] = [
  { type: 'inuse_objects', unit: 'count' },
  { type: 'inuse_space', unit: 'bytes' },
];

/** What is live by the stack that allocated it, and what lies off the heap; where it is counted, all that was allocated. */
export async function heapProfileData(
  reading: HeapReading,
  { sources, breathe }: { sources: ProfileSources; breathe: Breathe },
): Promise<ProfileData> {
  const stacks = [...reading.stacks, ...offHeapStacks(reading.memory)];
  const shown = await sources.symbolizer.symbolize(
    stacks.map(({ frames }) => frames),
    breathe,
  );
  return heapDataOf(stacks, shown, reading);
}

/** The profile of these stacks and the frames that are shown for them. */
export function heapDataOf(
  stacks: readonly HeapStack[],
  shown: Shown,
  { totals, intervalBytes, notes }: Pick<HeapReading, 'totals' | 'intervalBytes' | 'notes'>,
): ProfileData {
  return {
    sampleTypes: totals ? [...ALLOCATED_TYPES, ...IN_USE_TYPES] : IN_USE_TYPES,
    periodType: { type: 'space', unit: 'bytes' },
    period: intervalBytes,
    timeNanos: nowNanos(),
    comments: [...notes, ...shown.notes],
    samples: stacks.map(({ objects, sizeBytes, allocObjects, allocBytes }, index) => ({
      stack: shown.stacks[index] ?? [],
      values: totals ? [allocObjects, allocBytes, objects, sizeBytes] : [objects, sizeBytes],
    })),
  };
}

/**
 * Node knows the bytes off the heap, not the objects: each kind counts as one, since pprof takes zero objects for no bytes.
 * What was ever allocated there nobody knows.
 */
function offHeapStacks({ external, arrayBuffers }: NodeJS.MemoryUsage): HeapStack[] {
  const offHeap = { objects: 1, allocObjects: 0, allocBytes: 0 };
  return [
    { ...offHeap, frames: [ARRAY_BUFFERS_FRAME], sizeBytes: arrayBuffers },
    { ...offHeap, frames: [EXTERNAL_FRAME], sizeBytes: Math.max(0, external - arrayBuffers) },
  ].filter(({ sizeBytes }) => sizeBytes > 0);
}

export function nowNanos(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

/** The lines below the records of the text form. */
export function heapStats({
  heapUsed,
  heapTotal,
  external,
  arrayBuffers,
  rss,
}: NodeJS.MemoryUsage): HeapStats {
  return {
    heapUsedBytes: heapUsed,
    heapTotalBytes: heapTotal,
    externalBytes: external,
    arrayBuffersBytes: arrayBuffers,
    rssBytes: rss,
  };
}
