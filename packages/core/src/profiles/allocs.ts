import { encodeProfile } from '../pprof/encode.js';
import { captureHeap } from './heap.js';
import { ALLOCATED_TYPES, nowNanos } from './heap-data.js';
import { createPacer } from './pacer.js';
import type { Capture, CaptureRequest, Profile } from './profile.js';
import type { ProfileSources } from './sources.js';

const DEFAULT_SAMPLE_TYPE = 'alloc_space';

/** The allocations profile: where memory is allocated, live or not. */
export function allocsProfile(sources: ProfileSources): Profile {
  return {
    name: 'allocs',
    aliases: [],
    description:
      'A sampling of all past memory allocations: since the start where V8 tells them from live ones (Node 26 and later), else ' +
      'of the seconds that are asked for, with allocWindows: true. Without either it holds what is live, as heap does.',
    enabledBy: 'enableMemory',
    seconds: 'delta',
    text: true,
    gc: false,
    exampleQuery: '?debug=1',
    offThread: true,
    ready: () => void sources.heapRecorder(),
    capture: (request) => captureAllocs(sources, request),
  };
}

async function captureAllocs(sources: ProfileSources, request: CaptureRequest): Promise<Capture> {
  const { deltaMs, signal } = request;
  const reading = await sources.heapRecorder().read({ gc: false });
  if (reading.totals)
    return captureHeap(reading, { ...request, defaultSampleType: DEFAULT_SAMPLE_TYPE }, sources);
  if (deltaMs === undefined) return captureHeap(reading, request, sources);
  return captureWindow(sources, deltaMs, signal);
}

async function captureWindow(
  sources: ProfileSources,
  durationMs: number,
  signal: AbortSignal | undefined,
): Promise<Capture> {
  const breathe = createPacer();
  const beganNanos = nowNanos();
  const { stacks, intervalBytes } = await sources.heapRecorder().countAllocations(durationMs, signal);
  const timeNanos = nowNanos();
  const shown = await sources.symbolizer.symbolize(
    stacks.map(({ frames }) => frames),
    breathe,
  );
  const data = {
    sampleTypes: ALLOCATED_TYPES,
    periodType: { type: 'space', unit: 'bytes' },
    period: intervalBytes,
    timeNanos,
    durationNanos: timeNanos - beganNanos,
    defaultSampleType: DEFAULT_SAMPLE_TYPE,
    comments: shown.notes,
    samples: stacks.map(({ objects, sizeBytes }, index) => ({
      stack: shown.stacks[index] ?? [],
      values: [objects, sizeBytes],
    })),
  };
  return {
    body: await encodeProfile(data, { mappingFile: sources.mappingFile, breathe }),
    notes: data.comments,
  };
}
