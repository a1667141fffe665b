/** The callbacks of the event loop that a stretch of time is made of, as far as looks at the thread tell them apart. */
import type { Chunk } from './chunk.js';
import type { Frame } from './frames.js';
import { looksOf, type ChunkLook } from './looks.js';

/** Microseconds since the epoch. */
export interface Stretch {
  readonly startedMicros: number;
  readonly endedMicros: number;
}

/** What one callback had of a stretch. */
export interface Callback {
  readonly fromMicros: number;
  readonly toMicros: number;
  readonly looks: readonly StallLook[];
}

/**
 * The looks tell callbacks apart, half the way to the looks around it is a callback's own. What tells nothing (the collector, a
 * promise job) belongs to the callback before.
 */
export function callbacksOf(chunks: readonly Chunk[], stretch: Stretch): Callback[] {
  const looks = looksIn(chunks, stretch);
  if (looks.length === 0)
    return [{ fromMicros: stretch.startedMicros, toMicros: stretch.endedMicros, looks }];
  const signOf = looks.some(hasId) ? idOf : entryOf;
  const callbacks: Callback[] = [];
  for (let first = 0; first < looks.length;) {
    let sign: number | Frame | undefined;
    let end = first;
    for (; end < looks.length; end++) {
      const next = signOf(looks[end] as StallLook);
      if (next !== undefined && sign !== undefined && next !== sign) break;
      sign ??= next;
    }
    callbacks.push({
      fromMicros: boundary(looks, first, stretch),
      toMicros: boundary(looks, end, stretch),
      looks: looks.slice(first, end),
    });
    first = end;
  }
  return callbacks;
}

/** The event loop's own beat does not let it wait for longer. */
const LONGEST_WAIT_MICROS = 20_000;

/** A stretch that the event loop has waited before. */
export interface StretchAfterWait extends Stretch {
  /** How long that was, as far as it is known. */
  readonly waitedMs: number;
  /** For how long the thread has been given a core since, or could have used one; undefined where the system does not tell. */
  readonly workedMs: number | undefined;
}

/**
 * Where such a stretch really begins. A sample is a signal, which makes libuv forget how long it has waited by then, so that the
 * time seems to be work's. The work came after the last look at a waiting loop, and after as much of what is known to have been
 * waited as was not before that look: that may be all or nothing. What the thread worked tells, unless it has slept as well;
 * then the half is not far off.
 */
export function startAfterWait(
  chunks: readonly Chunk[],
  { startedMicros, endedMicros, waitedMs, workedMs }: StretchAfterWait,
): number {
  const waitedMicros = waitedMs * 1000;
  const range = { fromMicros: startedMicros - waitedMicros, toMicros: endedMicros };
  let waitingMicros: number | undefined;
  let workingMicros = Infinity;
  for (const { kind, timeMicros } of looksBetween(chunks, range)) {
    if (timeMicros > startedMicros + LONGEST_WAIT_MICROS) break;
    if (kind === 'idle') waitingMicros = timeMicros;
    else if (timeMicros > startedMicros) {
      workingMicros = timeMicros;
      break;
    }
  }
  if (waitingMicros === undefined) return startedMicros;
  const earliestMicros = Math.max(startedMicros, waitingMicros);
  const latestMicros = Math.min(waitingMicros + waitedMicros, workingMicros);
  const byWorkMicros = workedMs === undefined ? Infinity : endedMicros - workedMs * 1000;
  if (byWorkMicros <= latestMicros) return Math.max(earliestMicros, byWorkMicros);
  return (earliestMicros + latestMicros) / 2;
}

function hasId({ asyncId, chunk }: StallLook): boolean {
  return asyncId !== 0 && !chunk.jobsHaveIds;
}

function idOf(look: StallLook): number | undefined {
  return hasId(look) ? look.asyncId : undefined;
}

/** Node's own function that runs promise jobs and ticks: they may be those of the callback before. */
const RUNS_JOBS = 'processTicksAndRejections';

/**
 * Without ids, the app's function that Node has called: another one is another callback. What has nobody of Node's below it V8 has
 * called by itself, which it does with promise jobs.
 */
function entryOf({ chunk: { frames, parents }, node }: StallLook): Frame | undefined {
  let entry: Frame | undefined;
  let isJob = true;
  for (let at = node; at !== 0; at = parents[at] as number) {
    const frame = frames[at] as Frame;
    const isNodes = frame.url.startsWith('node:');
    if (frame.url !== '' && !isNodes) entry = frame;
    isJob = !isNodes || frame.functionName === RUNS_JOBS;
  }
  return isJob ? undefined : entry;
}

/** Samples lie this close around what they saw. */
const NEAR_MICROS = 2000;

export interface StallLook extends ChunkLook {
  readonly chunk: Chunk;
}

/** The looks that found the thread at work during the stall, in the order of time. */
function looksIn(chunks: readonly Chunk[], { startedMicros, endedMicros }: Stretch): StallLook[] {
  const range = { fromMicros: startedMicros - NEAR_MICROS, toMicros: endedMicros + NEAR_MICROS };
  return looksBetween(chunks, range).filter(({ kind }) => kind !== 'idle');
}

function looksBetween(
  chunks: readonly Chunk[],
  range: { readonly fromMicros: number; readonly toMicros: number },
): StallLook[] {
  return chunks
    .filter(({ fromMicros, toMicros }) => toMicros > range.fromMicros && fromMicros < range.toMicros)
    .flatMap((chunk) =>
      [...looksOf(chunk, { ...range, beforeMicros: range.fromMicros })].map((look) => ({ ...look, chunk })),
    );
}

/**
 * Between the look at `index` and the one before. The marks of the monitor are closer to the truth than the half of a sampling
 * interval: a look beyond them saw what came before or after.
 */
function boundary(
  looks: readonly StallLook[],
  index: number,
  { startedMicros, endedMicros }: Stretch,
): number {
  const before = looks[index - 1];
  const after = looks[index];
  if (!before) return startedMicros;
  if (!after) return endedMicros;
  if (before.timeMicros < startedMicros) return startedMicros;
  if (after.timeMicros > endedMicros) return endedMicros;
  return (before.timeMicros + after.timeMicros) / 2;
}
