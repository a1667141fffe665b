import { countText } from '../pprof/count-text.js';
import { encodeProfile } from '../pprof/encode.js';
import { goroutineText } from '../pprof/goroutine-text.js';
import type { ProfileData } from '../pprof/profile-data.js';
import { abortableSleep } from './abortable-sleep.js';
import { createPacer, type Breathe } from './pacer.js';
import { missingOperations, readPending, type Pending } from './pending.js';
import type { Capture, CaptureRequest, Profile } from './profile.js';
import type { ProfileSources } from './sources.js';

/** Lower ends of the ranges of ages that are told apart. */
const AGES_SECONDS = [3600, 600, 60, 10, 1];

/** A dump of all operations ends here: more would have to be handed on in one piece that holds up the loop. Go's ends at 64 MB. */
const MAX_DUMP_BYTES = 4 * 1024 * 1024;

const TEXTS_PER_PIECE = 64;

/** The goroutine profile: Node's counterpart of goroutines, what is pending. */
export function goroutineProfile(sources: ProfileSources): Profile {
  return {
    name: 'goroutine',
    aliases: [],
    description:
      'Pending asynchronous operations: timers, sockets, file system, DNS, requests in flight, HTTP requests sent, worker ' +
      'threads. The seconds parameter gives those that are created in that time and still pending, with the stacks that created ' +
      'them; debug=2 lists one by one.',
    enabledBy: 'enableGoroutine',
    seconds: 'delta',
    text: true,
    gc: false,
    exampleQuery: '?debug=1',
    capture: (request) => captureGoroutine(sources, request),
  };
}

async function captureGoroutine(
  sources: ProfileSources,
  { deltaMs, debug, signal }: CaptureRequest,
): Promise<Capture> {
  const breathe = createPacer();
  if (deltaMs === undefined && debug > 1) return dump(sources, breathe);
  const data =
    deltaMs === undefined
      ? await goroutineData(sources, { breathe })
      : await goroutineWindow(sources, { deltaMs, signal, breathe });
  const notes = data.comments;
  if (debug !== 0) return { body: countText('goroutine', data), notes };
  return { body: await encodeProfile(data, { mappingFile: sources.mappingFile, breathe }), notes };
}

async function goroutineWindow(
  sources: ProfileSources,
  { deltaMs, signal, breathe }: { deltaMs: number; signal: AbortSignal | undefined; breathe: Breathe },
): Promise<ProfileData> {
  const sinceMs = performance.now();
  const observed = sources.operations().observe();
  try {
    await abortableSleep(deltaMs, signal);
    const durationNanos = BigInt(Math.round((performance.now() - sinceMs) * 1e6));
    return { ...(await goroutineData(sources, { breathe, sinceMs })), durationNanos };
  } finally {
    observed();
  }
}

async function goroutineData(
  sources: ProfileSources,
  { breathe, sinceMs }: { breathe: Breathe; sinceMs?: number },
): Promise<ProfileData> {
  const timeNanos = BigInt(Date.now()) * 1_000_000n;
  const ageRange = (seconds: number): number => AGES_SECONDS.find((age) => seconds >= age) ?? 0;
  const pending = await readPending(sources, { breathe, sinceMs, ageRange });
  const comments = missingOperations(sources);
  const shown = await sources.symbolizer.symbolize(
    pending.map(({ frames }) => frames),
    breathe,
  );
  return {
    sampleTypes: [{ type: 'goroutine', unit: 'count' }],
    periodType: { type: 'goroutine', unit: 'count' },
    period: 1,
    timeNanos,
    comments: [...comments, ...shown.notes],
    samples: pending.map((each, index) => ({
      stack: shown.stacks[index] ?? [],
      values: [each.count],
      labels: labelsOf(each),
      ...(each.ageSeconds === undefined
        ? {}
        : { numLabels: { age: { value: each.ageSeconds, unit: 'seconds' } } }),
    })),
  };
}

function labelsOf({ kind, route }: Pending): Record<string, string> {
  return route === undefined ? { kind } : { kind, route };
}

/** All of them one by one, as Go prints goroutines. */
async function dump(sources: ProfileSources, breathe: Breathe): Promise<Capture> {
  const ageRange = (seconds: number): number => Math.floor(seconds / 60) * 60;
  const pending = await readPending(sources, { breathe, ageRange });
  const notes = missingOperations(sources);
  const shown = await sources.symbolizer.symbolize(
    pending.map(({ frames }) => frames),
    breathe,
  );
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  let id = 0;
  for (const [index, { kind, route, count, ageSeconds }] of pending.entries()) {
    const labels = route === undefined ? {} : { route };
    const textOf = goroutineText({ state: kind, ageSeconds, labels, stack: shown.stacks[index] ?? [] });
    for (let left = count; left > 0 && sizeBytes < MAX_DUMP_BYTES; left -= TEXTS_PER_PIECE) {
      let text = '';
      for (let nth = Math.min(left, TEXTS_PER_PIECE); nth > 0; nth--) text += textOf((id += 1));
      const piece = Buffer.from(text);
      pieces.push(piece);
      sizeBytes += piece.length;
      await breathe();
    }
  }
  for (const note of notes) pieces.push(Buffer.from(`... ${note}\n`));
  if (sizeBytes >= MAX_DUMP_BYTES) pieces.push(Buffer.from(`... the rest is left out\n`));
  return { body: Buffer.concat(pieces), notes };
}
