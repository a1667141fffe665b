/**
 * The trace event format that chrome://tracing, Perfetto and DevTools read.
 * @see https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
 */

export interface TraceEvent {
  readonly name: string;
  /** X: complete slice, b and e: begin and end of something asynchronous, P: sample, M: metadata. */
  readonly ph: 'X' | 'b' | 'e' | 'P' | 'M';
  readonly cat?: string;
  /** Microseconds. */
  readonly ts: number;
  readonly dur?: number;
  readonly pid: number;
  readonly tid: number;
  /** Tells asynchronous things of one category apart. */
  readonly id?: string;
  readonly args?: object;
}

/** The tracks of a trace, in the order in which they are shown. */
export const TRACKS = ['event loop', 'event loop blocked', 'garbage collection', 'CPU samples'] as const;

export type Track = (typeof TRACKS)[number];

const STRETCH_MICROS = 5000;

/** TraceWriter collects the events of one process. Times in are `performance.now()`, times out count from the trace's start. */
export class TraceWriter {
  readonly #startMs: number;
  readonly #endMs: number;
  readonly #pid: number;
  readonly #samples: TraceEvent[] = [];
  /** By stretches of time, so that they can be sorted a few at a time. */
  readonly #timed: TraceEvent[][] = [];
  #lastId = 0;

  constructor({ startMs, endMs, pid }: { startMs: number; endMs: number; pid: number }) {
    this.#startMs = startMs;
    this.#endMs = endMs;
    this.#pid = pid;
  }

  /** In the order of time, what encloses another before it; the names of process and tracks first. */
  *events(processName: string): Generator<TraceEvent, void> {
    const named = (name: string, tid: number, args: object): TraceEvent => ({
      name,
      ph: 'M',
      ts: 0,
      pid: this.#pid,
      tid,
      args,
    });
    yield named('process_name', 0, { name: processName });
    for (const [index, track] of TRACKS.entries()) {
      yield named('thread_name', index + 1, { name: track });
      yield named('thread_sort_index', index + 1, { sort_index: index + 1 });
    }
    yield* this.#samples;
    // Not every stretch has one: the array may be sparse.
    for (const stretch of Object.values(this.#timed))
      yield* stretch.sort((a, b) => a.ts - b.ts || (b.dur ?? 0) - (a.dur ?? 0));
  }

  /** What held a track from one time to another; what lies outside the trace is cut off. */
  slice(
    track: Track,
    name: string,
    { startMs, endMs, args }: { startMs: number; endMs: number; args?: object },
  ): void {
    const begin = this.#clamp(startMs);
    const end = this.#clamp(endMs);
    if (end <= begin) return;
    this.#add({
      name,
      ph: 'X',
      cat: track,
      ts: begin,
      dur: round(end - begin),
      pid: this.#pid,
      tid: TRACKS.indexOf(track) + 1,
      ...(args ? { args } : {}),
    });
  }

  /** What was under way; many may be at once. Without an end it was so still when the trace ended. */
  async(
    category: string,
    name: string,
    { startMs, endMs, args }: { startMs: number; endMs: number | undefined; args?: object },
  ): void {
    if (startMs > this.#endMs || (endMs !== undefined && endMs < this.#startMs)) return;
    const pending = endMs === undefined || endMs > this.#endMs ? { pending: true } : {};
    const id = `0x${(++this.#lastId).toString(16)}`;
    const common = { name, cat: category, pid: this.#pid, tid: 0, id };
    this.#add({ ...common, ph: 'b', ts: this.#clamp(startMs), args: { ...args, ...pending } });
    this.#add({ ...common, ph: 'e', ts: this.#clamp(endMs ?? this.#endMs) });
  }

  /** A part of what V8's own sampler writes: `Profile` begins, `ProfileChunk`s follow. */
  samples(name: 'Profile' | 'ProfileChunk', data: object): void {
    this.#samples.push({
      name,
      ph: 'P',
      cat: 'disabled-by-default-v8.cpu_profiler',
      ts: 0,
      pid: this.#pid,
      tid: TRACKS.indexOf('CPU samples') + 1,
      id: '0x1',
      args: { data },
    });
  }

  #add(event: TraceEvent): void {
    (this.#timed[Math.floor(event.ts / STRETCH_MICROS)] ??= []).push(event);
  }

  #clamp(timeMs: number): number {
    return round((Math.min(this.#endMs, Math.max(this.#startMs, timeMs)) - this.#startMs) * 1000);
  }
}

/** Nanoseconds are the finest that viewers tell apart. */
function round(micros: number): number {
  return Math.round(micros * 1000) / 1000;
}
