import { contentionText } from '../pprof/contention-text.js';
import { diffProfiles } from '../pprof/diff.js';
import { encodeProfile } from '../pprof/encode.js';
import type { ProfileData, ValueType } from '../pprof/profile-data.js';
import type { ContentionReading } from '../recorder/contentions.js';
import { abortableSleep } from './abortable-sleep.js';
import { createPacer, type Breathe } from './pacer.js';
import type { Capture, CaptureRequest, EnablingField, Profile } from './profile.js';
import type { ProfileSources } from './sources.js';

export interface ContentionProfileOptions {
  readonly name: 'block' | 'mutex';
  readonly description: string;
  readonly enabledBy: EnablingField;
  /** The sums since the start; throws the reason when there are none. */
  readonly read: () => ContentionReading | Promise<ContentionReading>;
  /** Whether `read` works in the sidecar too. */
  readonly offThread?: boolean;
  /** Called when a delta begins: observes more than is observed all the time, until the function it gives is called. */
  readonly observe?: () => () => void;
  readonly sources: ProfileSources;
}

export const CONTENTION_TYPES: readonly ValueType[] = [
  { type: 'contentions', unit: 'count' },
  { type: 'delay', unit: 'nanoseconds' },
];

/** A profile of waits as Go's `block` and `mutex` are: how many and for how long since the start, `seconds` for the change. */
export function contentionProfile(options: ContentionProfileOptions): Profile {
  const { name, description, enabledBy, offThread = false } = options;
  return {
    name,
    aliases: [],
    description,
    enabledBy,
    seconds: 'delta',
    text: true,
    gc: false,
    exampleQuery: '?debug=1',
    offThread,
    capture: (request) => captureContentions(options, request),
  };
}

async function captureContentions(
  options: ContentionProfileOptions,
  { deltaMs, debug, signal }: CaptureRequest,
): Promise<Capture> {
  const breathe = createPacer();
  const data =
    deltaMs === undefined
      ? await contentionData(options, breathe)
      : await contentionDelta(options, { deltaMs, signal, breathe });
  const notes = data.comments;
  if (debug !== 0)
    return { body: contentionText(data, options.name === 'mutex' ? 'mutex' : 'contention'), notes };
  return {
    body: await encodeProfile(data, { mappingFile: options.sources.mappingFile, breathe }),
    notes,
  };
}

async function contentionDelta(
  options: ContentionProfileOptions,
  { deltaMs, signal, breathe }: { deltaMs: number; signal: AbortSignal | undefined; breathe: Breathe },
): Promise<ProfileData> {
  const before = await contentionData(options, breathe);
  const observed = options.observe?.();
  try {
    await abortableSleep(deltaMs, signal);
    return diffProfiles(before, await contentionData(options, breathe));
  } finally {
    observed?.();
  }
}

/** The sums up to now, as a profile. */
export async function contentionData(
  { read, sources }: Pick<ContentionProfileOptions, 'read' | 'sources'>,
  breathe: Breathe,
): Promise<ProfileData> {
  const { rows, overflowed } = await read();
  const timeNanos = BigInt(Date.now()) * 1_000_000n;
  const shown = await sources.symbolizer.symbolize(
    rows.map(({ frames }) => frames),
    breathe,
  );
  return {
    sampleTypes: CONTENTION_TYPES,
    periodType: { type: 'contentions', unit: 'count' },
    period: 1,
    timeNanos,
    comments: [
      ...(overflowed > 0 ? [`incomplete: ${overflowed} waits of further places are counted as (other)`] : []),
      ...shown.notes,
    ],
    samples: rows.map(({ labels, count, delayNanos }, index) => ({
      stack: shown.stacks[index] ?? [],
      values: [count, delayNanos],
      ...(labels ? { labels } : {}),
    })),
  };
}
