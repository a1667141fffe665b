import { encodeProfile } from '../pprof/encode.js';
import type { ProfileData } from '../pprof/profile-data.js';
import { cpuStacksOf } from '../recorder/cpu-stacks.js';
import type { SampleWindow } from '../recorder/sample-store.js';
import { LoopprofError } from '../errors.js';
import { createPacer, type Breathe } from './pacer.js';
import type { Capture, CaptureRequest, Profile } from './profile.js';
import type { ProfileSources } from './sources.js';

/** The CPU profile: where the thread spent its CPU in a window of the recorder. */
export function cpuProfile(sources: ProfileSources): Profile {
  return {
    name: 'profile',
    aliases: ['cpu'],
    description:
      'CPU profile: the functions the process spent its CPU in, over the next 30 s or as many as the seconds parameter says. ' +
      'The recorder is always on, so ?from=now-60s&to=now gives the minute before.',
    enabledBy: 'enableCPU',
    seconds: 'window',
    text: false,
    gc: false,
    exampleQuery: '?seconds=30',
    offThread: true,
    ready: () => void sources.recorder(),
    capture: (request) => captureCpu(sources, request),
  };
}

async function captureCpu(sources: ProfileSources, { window, signal }: CaptureRequest): Promise<Capture> {
  if (!window) throw new LoopprofError('LOOPPROF_INTERNAL', 'A CPU profile needs a window.');
  const samples = await sources.recorder().window(window.fromMicros, window.toMicros, signal);
  const breathe = createPacer();
  const data = await cpuProfileData(samples, { symbolizer: sources.symbolizer, breathe });
  return {
    body: await encodeProfile(data, { mappingFile: sources.mappingFile, breathe }),
    notes: data.comments,
  };
}

async function cpuProfileData(
  window: SampleWindow,
  { symbolizer, breathe }: { symbolizer: ProfileSources['symbolizer']; breathe: Breathe },
): Promise<ProfileData> {
  const stacks = await cpuStacksOf(window, breathe);
  const shown = await symbolizer.symbolize(
    stacks.map(({ frames }) => frames),
    breathe,
  );
  return {
    sampleTypes: [
      { type: 'samples', unit: 'count' },
      { type: 'cpu', unit: 'nanoseconds' },
    ],
    periodType: { type: 'cpu', unit: 'nanoseconds' },
    period: window.sampleIntervalMicros * 1000,
    timeNanos: BigInt(Math.round(window.fromMicros)) * 1000n,
    durationNanos: BigInt(Math.round(window.toMicros - window.fromMicros)) * 1000n,
    comments: [...commentsOn(window), ...shown.notes],
    samples: stacks.map(({ samples, cpuNanos, labels }, index) => ({
      stack: shown.stacks[index] ?? [],
      values: [samples, Math.round(cpuNanos)],
      ...(labels ? { labels } : {}),
    })),
  };
}

function commentsOn({ droppedSamples, chunks }: SampleWindow): string[] {
  const comments: string[] = [];
  if (droppedSamples > 0) {
    comments.push(
      `incomplete: ${droppedSamples} samples of this window no longer fitted into the recorder's memory`,
    );
  }
  if (chunks.some(({ cpuMeasured }) => !cpuMeasured)) {
    comments.push(
      'estimated: the inspector engine measures no thread CPU, so CPU is the number of looks times their interval, time blocked in system calls included',
    );
  }
  return comments;
}
