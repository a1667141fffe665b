import { isLoopprofError } from '../errors.js';
import type { RequestTiming } from '../monitor/request-timing.js';
import type { RequestsReport } from '../monitor/requests.js';
import { TraceRecording } from '../monitor/trace-recording.js';
import type { SampleWindow } from '../recorder/sample-store.js';
import { timedLooksOf } from '../recorder/timed-looks.js';
import { abortableSleep } from './abortable-sleep.js';
import type { PprofFrame } from '../pprof/profile-data.js';
import { joinPieces } from './join-pieces.js';
import { createPacer, type Breathe } from './pacer.js';
import type { Capture, CaptureRequest, Profile } from './profile.js';
import type { ProfileSources } from './sources.js';
import { TraceWriter } from './trace-events.js';

/** Ends of requests, collections and blocked stretches are told some beats of the monitors after they happened. */
const SETTLE_MS = 120;

const CLOCK_TOLERANCE_MS = 5;

/** Ages are read a moment after the end. */
const SAME_REQUEST_MS = 1;

/** Events written between two breaths, and looks in one of them. */
const EVENTS_PER_PIECE = 64;
const LOOKS_PER_CHUNK = 500;

/** The trace: what happened when, for a timeline. */
export function traceProfile(sources: ProfileSources): Profile {
  return {
    name: 'trace',
    aliases: [],
    description:
      'A trace of the next second, or as many as the seconds parameter says (fractions too): turns of the event loop, what blocked ' +
      'it, garbage collection, requests by route, asynchronous operations, CPU samples. Open it in https://ui.perfetto.dev.',
    enabledBy: undefined,
    sensitive: 'trace',
    seconds: 'recording',
    text: false,
    gc: false,
    exampleQuery: '?seconds=5',
    file: { name: 'trace.json', contentType: 'application/json; charset=utf-8' },
    capture: (request) => captureTrace(sources, request),
  };
}

/** What a trace is made of. Times are `performance.now()`. */
interface Recorded {
  readonly recording: TraceRecording;
  readonly endMs: number;
  /** As the recording ended. */
  readonly requests: RequestsReport;
  /** From `performance.now()` to milliseconds since the epoch. */
  readonly toEpochMs: number;
  readonly samples: SampleWindow | undefined;
}

async function captureTrace(
  sources: ProfileSources,
  { recordMs = 1000, signal }: CaptureRequest,
): Promise<Capture> {
  const labels = sources.labels();
  labels?.retain();
  const recording = new TraceRecording(() => labels?.current()?.['route']);
  try {
    const fromMicros = Date.now() * 1000;
    await abortableSleep(recordMs, signal);
    recording.stop();
    const endMs = performance.now();
    const requests = sources.monitor().requestsReport();
    const samples = await recorderOf(sources)?.window(fromMicros, Date.now() * 1000, signal);
    await abortableSleep(SETTLE_MS, signal);
    sources.settledMonitor();
    recording.close();
    return await written(sources, { recording, endMs, requests, samples, toEpochMs: toEpochMs() });
  } finally {
    recording.close();
    labels?.release();
  }
}

/** The recorder, if there is one. */
function recorderOf(sources: ProfileSources): ReturnType<ProfileSources['recorder']> | undefined {
  try {
    return sources.recorder();
  } catch (error) {
    if (isLoopprofError(error)) return undefined;
    throw error;
  }
}

async function written(sources: ProfileSources, recorded: Recorded): Promise<Capture> {
  const breathe = createPacer();
  const { recording, endMs, requests, samples, toEpochMs } = recorded;
  const { startedAtMs: startMs, loop } = recording;
  const writer = new TraceWriter({ startMs, endMs, pid: process.pid });
  await writeLoop(writer, recorded, breathe);
  await writeRequests(writer, recorded, breathe);
  if (samples)
    await writeSamples(writer, { samples, startMicros: (startMs + toEpochMs) * 1000, sources, breathe });
  const dropped = recording.dropped + requests.inFlightCount - requests.inFlight.length;
  const notes = dropped > 0 ? [`incomplete: ${dropped} events are left out`] : [];
  const otherData = {
    startTime: new Date(startMs + toEpochMs).toISOString(),
    node: process.version,
    shortTurns: loop.shortTurns,
    shortTurnsMs: loop.shortTurnsMs,
    notes,
  };
  const pieces: Uint8Array[] = [];
  let text = '{"traceEvents":[\n';
  let count = 0;
  for (const event of writer.events(sources.mappingFile)) {
    text += (count > 0 ? ',\n' : '') + JSON.stringify(event);
    count += 1;
    if (count % EVENTS_PER_PIECE !== 0) continue;
    pieces.push(Buffer.from(text));
    text = '';
    await breathe();
  }
  text += `\n],"displayTimeUnit":"ms","otherData":${JSON.stringify(otherData)}}\n`;
  pieces.push(Buffer.from(text));
  return { body: await joinPieces(pieces, breathe), notes };
}

async function writeLoop(
  writer: TraceWriter,
  { recording, toEpochMs }: Recorded,
  breathe: Breathe,
): Promise<void> {
  const { loop, collections, blocked } = recording;
  await each(loop.turns, breathe, ({ startMs, endMs, callbacks }) =>
    writer.slice('event loop', 'turn', { startMs, endMs, args: { callbacks } }),
  );
  await each(loop.callbacks, breathe, ({ name, startMs, endMs, route }) =>
    writer.slice('event loop', name, { startMs, endMs, args: { route } }),
  );
  await each(loop.operations, breathe, ({ name, startMs, endMs, route }) =>
    writer.async('asynchronous operations', name, { startMs, endMs, args: { route } }),
  );
  await each(collections, breathe, ({ kind, startMs, durationMs }) =>
    writer.slice('garbage collection', kind, { startMs, endMs: startMs + durationMs }),
  );
  let beforeMs = -Infinity;
  await each(blocked, breathe, ({ startedMs, durationMs, method, route }) => {
    const endMs = startedMs + durationMs - toEpochMs;
    // Where they begin is known to a millisecond only, and viewers want slices that do not overlap.
    const startMs = Math.max(beforeMs, startedMs - toEpochMs);
    writer.slice('event loop blocked', `${method} ${route}`.trim(), { startMs, endMs });
    beforeMs = Math.max(beforeMs, endMs);
  });
}

async function writeRequests(
  writer: TraceWriter,
  { recording, requests, endMs }: Recorded,
  breathe: Breathe,
): Promise<void> {
  const endedLate: RequestTiming[] = [];
  await each(recording.requests, breathe, (timing) => {
    const { method, route, startedAtMs, headersAtMs, endedAtMs = Infinity, statusCode, aborted } = timing;
    if (endedAtMs > endMs) endedLate.push(timing);
    writer.async('requests', `${method} ${route ?? '(unrouted)'}`, {
      startMs: startedAtMs,
      endMs: endedAtMs,
      args: {
        statusCode,
        aborted,
        timeToHeadersMs: headersAtMs === undefined ? undefined : headersAtMs - startedAtMs,
        eventLoopBlockedMs: timing.eventLoopBlockedMs,
        gcMs: timing.gcMs,
      },
    });
  });
  for (const { method, route, ageMs } of requests.inFlight) {
    const startMs = endMs - ageMs;
    const written = endedLate.some(
      (late) => late.method === method && Math.abs(late.startedAtMs - startMs) < SAME_REQUEST_MS,
    );
    if (!written) writer.async('requests', `${method} ${route}`, { startMs, endMs: undefined });
  }
}

/** Goes through a list that may be long, a few items at a time. */
async function each<T>(items: readonly T[], breathe: Breathe, write: (item: T) => void): Promise<void> {
  for (const [index, item] of items.entries()) {
    write(item);
    if (index % EVENTS_PER_PIECE === 0) await breathe();
  }
}

async function writeSamples(
  writer: TraceWriter,
  {
    samples,
    startMicros,
    sources,
    breathe,
  }: { samples: SampleWindow; startMicros: number; sources: ProfileSources; breathe: Breathe },
): Promise<void> {
  const { tree, looks } = await timedLooksOf(samples, breathe);
  const nodes = [...tree.nodes()];
  const { stacks } = await sources.symbolizer.symbolize([nodes.map(({ frame }) => frame)], breathe);
  writer.samples('Profile', { startTime: 0 });
  const root = { id: 1, callFrame: callFrame({ name: '(root)', file: '', line: 0, column: 0 }) };
  const rest = nodes.map(({ node, parent }, index) => ({
    id: node + 1,
    parent: parent + 1,
    callFrame: callFrame(stacks[0]?.[index] as PprofFrame),
  }));
  writer.samples('ProfileChunk', { cpuProfile: { nodes: [root, ...rest] }, timeDeltas: [] });
  let beforeMicros = startMicros;
  for (let first = 0; first < looks.length; first += LOOKS_PER_CHUNK) {
    const part = looks.slice(first, first + LOOKS_PER_CHUNK);
    const timeDeltas = part.map(({ timeMicros }) => {
      const delta = Math.max(0, Math.round(timeMicros - beforeMicros));
      beforeMicros = Math.max(beforeMicros, timeMicros);
      return delta;
    });
    writer.samples('ProfileChunk', { cpuProfile: { samples: part.map(({ node }) => node + 1) }, timeDeltas });
    await breathe();
  }
}

/** V8's lines and columns count from 0. */
function callFrame({
  name,
  file,
  line,
  column,
}: {
  name: string;
  file: string;
  line: number;
  column: number;
}): object {
  return { functionName: name, scriptId: 0, url: file, lineNumber: line - 1, columnNumber: column - 1 };
}

/** The clock that was set last goes on in `Date`; the other is finer, and the same unless it was set since. */
function toEpochMs(): number {
  const byDate = Date.now() - performance.now();
  return Math.abs(byDate - performance.timeOrigin) < CLOCK_TOLERANCE_MS ? performance.timeOrigin : byDate;
}
