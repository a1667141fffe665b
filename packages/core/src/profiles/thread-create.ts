import { countText } from '../pprof/count-text.js';
import { diffProfiles } from '../pprof/diff.js';
import { encodeProfile } from '../pprof/encode.js';
import type { PprofSample, ProfileData } from '../pprof/profile-data.js';
import { abortableSleep } from './abortable-sleep.js';
import { createPacer, type Breathe } from './pacer.js';
import type { Capture, CaptureRequest, Profile } from './profile.js';
import type { ProfileSources } from './sources.js';

/** The threadcreate profile: the threads of the process. */
export function threadCreateProfile(sources: ProfileSources): Profile {
  return {
    name: 'threadcreate',
    aliases: [],
    description:
      'The threads of the process: worker threads by name and since when they run (with debug=1 also their age), with the stack ' +
      "that created them, libuv's thread pool, V8's own. Worker threads from before the profiler are counted among the last.",
    enabledBy: 'enableGoroutine',
    seconds: 'delta',
    text: true,
    gc: false,
    exampleQuery: '?debug=1',
    capture: (request) => captureThreads(sources, request),
  };
}

async function captureThreads(
  sources: ProfileSources,
  { deltaMs, debug, signal }: CaptureRequest,
): Promise<Capture> {
  const breathe = createPacer();
  let data = await threadData(sources, breathe);
  if (deltaMs !== undefined) {
    await abortableSleep(deltaMs, signal);
    data = diffProfiles(withoutAges(data), withoutAges(await threadData(sources, breathe)));
  }
  if (debug !== 0) return { body: countText('threadcreate', data), notes: data.comments };
  return {
    body: await encodeProfile(withoutAges(data), { mappingFile: sources.mappingFile, breathe }),
    notes: data.comments,
  };
}

async function threadData(sources: ProfileSources, breathe: Breathe): Promise<ProfileData> {
  const threads = sources.threads();
  const nowMs = performance.now();
  const workers = threads.workers();
  const natives = threads.natives();
  const shown = await sources.symbolizer.symbolize(
    [...workers, ...natives].map(({ frames }) => frames),
    breathe,
  );
  const stackOf = (index: number): PprofSample['stack'] => shown.stacks[index] ?? [];
  return {
    sampleTypes: [{ type: 'threadcreate', unit: 'count' }],
    periodType: { type: 'threadcreate', unit: 'count' },
    period: 1,
    timeNanos: BigInt(Date.now()) * 1_000_000n,
    comments: shown.notes,
    samples: [
      ...workers.map(({ name, startedMs }, index) => ({
        stack: stackOf(index),
        values: [1],
        labels: { thread: name, started: new Date(performance.timeOrigin + startedMs).toISOString() },
        numLabels: { age: { value: Math.floor((nowMs - startedMs) / 1000), unit: 'seconds' } },
      })),
      ...natives.map(({ name, count }, index) => ({
        stack: stackOf(workers.length + index),
        values: [count],
        labels: { thread: name },
      })),
    ],
  };
}

/** A thread that has grown older has not changed: two fetches must cancel. */
function withoutAges(data: ProfileData): ProfileData {
  return {
    ...data,
    samples: data.samples.map(({ stack, values, labels }) => ({ stack, values, labels: labels ?? {} })),
  };
}
