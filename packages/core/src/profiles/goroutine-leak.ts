import { countText } from '../pprof/count-text.js';
import { diffProfiles } from '../pprof/diff.js';
import { encodeProfile } from '../pprof/encode.js';
import type { ProfileData } from '../pprof/profile-data.js';
import { collectGarbage } from '../recorder/garbage.js';
import { abortableSleep } from './abortable-sleep.js';
import { createPacer, type Breathe } from './pacer.js';
import { missingOperations, readPending } from './pending.js';
import type { Capture, CaptureRequest, Profile } from './profile.js';
import type { ProfileSources } from './sources.js';

/** What was collected is told to hooks in a turn of its own. */
const TOLD_AFTER_MS = 20;

/** The goroutineleak profile: what was collected while it was pending, and what is pending for too long. */
export function goroutineLeakProfile(sources: ProfileSources): Profile {
  return {
    name: 'goroutineleak',
    aliases: [],
    description:
      'What leaks in Node as goroutines leak in Go: promises that were garbage-collected while something awaited them, and ' +
      'operations that are pending for longer than leakAgeMs. Watched for as many seconds as the parameter says, which ends with ' +
      'a garbage collection, or all the time with asyncSampleRate; gc=1 collects garbage first.',
    enabledBy: 'enableGoroutine',
    seconds: 'delta',
    text: true,
    gc: true,
    collectsAtEnd: true,
    exampleQuery: '?debug=1',
    capture: (request) => captureLeaks(sources, request),
  };
}

async function captureLeaks(sources: ProfileSources, request: CaptureRequest): Promise<Capture> {
  const { deltaMs, debug, gc, signal } = request;
  const breathe = createPacer();
  if (gc) await collect(signal);
  const data =
    deltaMs === undefined
      ? await leakData(sources, breathe)
      : await leaksDuring(sources, { deltaMs, signal, breathe });
  const notes = data.comments;
  if (debug !== 0) return { body: countText('goroutineleak', data), notes };
  return { body: await encodeProfile(data, { mappingFile: sources.mappingFile, breathe }), notes };
}

async function leaksDuring(
  sources: ProfileSources,
  { deltaMs, signal, breathe }: { deltaMs: number; signal: AbortSignal | undefined; breathe: Breathe },
): Promise<ProfileData> {
  const before = await leakData(sources, breathe);
  const observed = sources.operations().observe();
  try {
    await abortableSleep(deltaMs, signal);
    await collect(signal);
    return diffProfiles(before, await leakData(sources, breathe));
  } finally {
    observed();
  }
}

async function collect(signal: AbortSignal | undefined): Promise<void> {
  collectGarbage();
  await abortableSleep(TOLD_AFTER_MS, signal);
}

async function leakData(sources: ProfileSources, breathe: Breathe): Promise<ProfileData> {
  const timeNanos = BigInt(Date.now()) * 1_000_000n;
  const leakAgeSeconds = sources.leakAgeMs() / 1000;
  const operations = sources.operations();
  const pending = await readPending(sources, {
    breathe,
    ageRange: (seconds) => (seconds >= leakAgeSeconds ? leakAgeSeconds : 0),
  });
  const comments = [
    ...(operations.observed
      ? []
      : ['promises and operations are watched with seconds=N, or all the time with asyncSampleRate']),
    ...missingOperations(sources),
    ...(operations.droppedLeaks > 0
      ? [`incomplete: ${operations.droppedLeaks} leaks of further places are not counted`]
      : []),
  ];
  const rows = [
    ...operations.leaks().map((leak) => ({ ...leak, state: 'collected' })),
    ...pending
      .filter(({ ageSeconds = 0 }) => ageSeconds >= leakAgeSeconds)
      .map((each) => ({ ...each, state: 'pending' })),
  ];
  const shown = await sources.symbolizer.symbolize(
    rows.map(({ frames }) => frames),
    breathe,
  );
  return {
    sampleTypes: [{ type: 'goroutineleak', unit: 'count' }],
    periodType: { type: 'goroutineleak', unit: 'count' },
    period: 1,
    timeNanos,
    comments: [...comments, ...shown.notes],
    samples: rows.map(({ kind, route, count, state }, index) => ({
      stack: shown.stacks[index] ?? [],
      values: [count],
      labels: route === undefined ? { kind, state } : { kind, state, route },
    })),
  };
}
