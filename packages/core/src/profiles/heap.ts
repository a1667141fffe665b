import { diffProfiles } from '../pprof/diff.js';
import { encodeProfile } from '../pprof/encode.js';
import { heapText } from '../pprof/heap-text.js';
import type { ProfileData } from '../pprof/profile-data.js';
import { pseudoFrame } from '../recorder/frames.js';
import { readHeapExport, type HeapReading, type HeapStack } from '../recorder/heap-recorder.js';
import { Symbolizer } from '../symbols/symbolizer.js';
import { abortableSleep } from './abortable-sleep.js';
import { createPacer, type Breathe } from './pacer.js';
import type { Capture, CaptureRequest, Profile } from './profile.js';
import type { ProfileSources } from './sources.js';

/** Memory of Buffers and ArrayBuffers, which lies outside V8's heap and in no sample of it. */
const ARRAY_BUFFERS_FRAME = pseudoFrame('(array buffers)');

/** Other memory that native code has told V8 about: external strings, compiled WebAssembly, addons. */
const EXTERNAL_FRAME = pseudoFrame('(external)');

/** The heap profile: the live objects by the stack that allocated them, and what lies off the heap. */
export function heapProfile(sources: ProfileSources): Profile {
  return {
    name: 'heap',
    aliases: [],
    description:
      'A sampling of memory allocations of live objects. The gc parameter collects garbage before the sample is taken; ' +
      'seconds gives the change over that time. Buffers and other off-heap memory have frames of their own.',
    enabledBy: 'enableMemory',
    seconds: 'delta',
    text: true,
    gc: true,
    exampleQuery: '?debug=1',
    offThread: true,
    ready: () => void sources.heapRecorder(),
    capture: (request) => captureHeap(sources, request),
  };
}

async function captureHeap(sources: ProfileSources, request: CaptureRequest): Promise<Capture> {
  const breathe = createPacer();
  const read = async (gc: boolean) => sources.heapRecorder().read({ gc });
  const encode = (data: ProfileData) => encodeProfile(data, { mappingFile: sources.mappingFile, breathe });
  if (request.deltaMs !== undefined) {
    const before = await heapProfileData(await read(false), { sources, breathe });
    await abortableSleep(request.deltaMs, request.signal);
    const after = await heapProfileData(await read(false), { sources, breathe });
    const data = diffProfiles(before, after);
    return { body: await encode(data), notes: data.comments };
  }
  const reading = await read(request.gc);
  const data = await heapProfileData(reading, { sources, breathe });
  if (request.debug === 0) return { body: await encode(data), notes: data.comments };
  const { heapUsed, heapTotal, external, arrayBuffers, rss } = reading.memory;
  const stats = {
    heapUsedBytes: heapUsed,
    heapTotalBytes: heapTotal,
    externalBytes: external,
    arrayBuffersBytes: arrayBuffers,
    rssBytes: rss,
  };
  return { body: heapText(data, stats), notes: data.comments };
}

async function heapProfileData(
  reading: HeapReading,
  { sources, breathe }: { sources: ProfileSources; breathe: Breathe },
): Promise<ProfileData> {
  const timeNanos = BigInt(Date.now()) * 1_000_000n;
  const stacks = [...reading.stacks, ...offHeapStacks(reading.memory)];
  const shown = await sources.symbolizer.symbolize(
    stacks.map(({ frames }) => frames),
    breathe,
  );
  const comments = reading.restarted
    ? [
        `another tool had stopped V8's heap sampler: allocations from before ${new Date(reading.sinceMicros / 1000).toISOString()} are not counted`,
      ]
    : [];
  return dataOf(stacks, shown, { period: reading.intervalBytes, timeNanos, comments });
}

function dataOf(
  stacks: readonly HeapStack[],
  shown: readonly ProfileData['samples'][number]['stack'][],
  rest: Pick<ProfileData, 'period' | 'timeNanos' | 'comments'>,
): ProfileData {
  return {
    sampleTypes: [
      { type: 'inuse_objects', unit: 'count' },
      { type: 'inuse_space', unit: 'bytes' },
    ],
    periodType: { type: 'space', unit: 'bytes' },
    ...rest,
    samples: stacks.map(({ objects, sizeBytes }, index) => ({
      stack: shown[index] ?? [],
      values: [objects, sizeBytes],
    })),
  };
}

/** The heap profile of another process, from what its engine exported when its heap was exhausted. */
export async function encodeHeapExport(
  json: string,
  { intervalBytes, mappingFile }: { intervalBytes: number; mappingFile: string },
): Promise<Uint8Array> {
  const breathe = createPacer();
  const stacks = readHeapExport(json);
  const shown = await new Symbolizer().symbolize(
    stacks.map(({ frames }) => frames),
    breathe,
  );
  const timeNanos = BigInt(Date.now()) * 1_000_000n;
  const comments = ['taken when the heap was exhausted; memory off the heap is not in it'];
  return encodeProfile(dataOf(stacks, shown, { period: intervalBytes, timeNanos, comments }), {
    mappingFile,
    breathe,
  });
}

/** Node knows the bytes off the heap, not the objects: each kind counts as one, since pprof takes zero objects for no bytes. */
function offHeapStacks({ external, arrayBuffers }: NodeJS.MemoryUsage): HeapStack[] {
  return [
    { frames: [ARRAY_BUFFERS_FRAME], objects: 1, sizeBytes: arrayBuffers },
    { frames: [EXTERNAL_FRAME], objects: 1, sizeBytes: Math.max(0, external - arrayBuffers) },
  ].filter(({ sizeBytes }) => sizeBytes > 0);
}
