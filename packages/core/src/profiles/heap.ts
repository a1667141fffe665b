import { diffProfiles } from '../pprof/diff.js';
import { encodeProfile } from '../pprof/encode.js';
import { heapText } from '../pprof/heap-text.js';
import { readHeapExport, type HeapReading } from '../recorder/heap-recorder.js';
import { MAX_MAP_BYTES_OFF_THREAD, Symbolizer } from '../symbols/symbolizer.js';
import { abortableSleep } from './abortable-sleep.js';
import { heapDataOf, heapProfileData, heapStats } from './heap-data.js';
import { createPacer } from './pacer.js';
import type { Capture, CaptureRequest, Profile } from './profile.js';
import type { ProfileSources } from './sources.js';

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
    capture: async (request) =>
      captureHeap(await sources.heapRecorder().read({ gc: request.gc }), request, sources),
  };
}

/** What the heap sampler holds, as it was just read, or how that changes; `defaultSampleType` is what pprof shows first. */
export async function captureHeap(
  reading: HeapReading,
  { deltaMs, debug, signal, defaultSampleType }: CaptureRequest & { defaultSampleType?: string },
  sources: ProfileSources,
): Promise<Capture> {
  const breathe = createPacer();
  let data = await heapProfileData(reading, { sources, breathe });
  if (deltaMs !== undefined) {
    await abortableSleep(deltaMs, signal);
    const after = await sources.heapRecorder().read({ gc: false });
    data = diffProfiles(data, await heapProfileData(after, { sources, breathe }));
  }
  if (defaultSampleType !== undefined) data = { ...data, defaultSampleType };
  const body =
    debug === 0
      ? await encodeProfile(data, { mappingFile: sources.mappingFile, breathe })
      : heapText(data, heapStats(reading.memory));
  return { body, notes: data.comments };
}

/** The heap profile of another process, from what its engine exported when its heap was exhausted. */
export async function encodeHeapExport(
  json: string,
  { intervalBytes, mappingFile }: { intervalBytes: number; mappingFile: string },
): Promise<Uint8Array> {
  // The process does nothing else: nobody waits for its event loop, nor would anything but that make it turn.
  const breathe = (): Promise<void> => Promise.resolve();
  const stacks = readHeapExport(json);
  const shown = await new Symbolizer({ maxMapBytes: MAX_MAP_BYTES_OFF_THREAD }).symbolize(
    stacks.map(({ frames }) => frames),
    breathe,
  );
  const notes = ['taken when the heap was exhausted; memory off the heap is not in it'];
  const data = heapDataOf(stacks, shown, { totals: false, intervalBytes, notes });
  return encodeProfile(data, { mappingFile, breathe });
}
