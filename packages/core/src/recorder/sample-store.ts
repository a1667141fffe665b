/**
 * The samples of the last minutes, and windows of them for any number of readers at once. The recorder fills one on the thread
 * it samples; the sidecar holds a copy, fed chunk by chunk, so that it can answer while that thread is busy.
 */
import { LoopprofError } from '../errors.js';
import type { Chunk } from './chunk.js';

/** A window of samples, with what the reader must know to trust it. */
export interface SampleWindow {
  readonly fromMicros: number;
  readonly toMicros: number;
  readonly chunks: readonly Chunk[];
  readonly sampleIntervalMicros: number;
  /** Samples of this window that no longer fitted into the recorder's memory. */
  readonly droppedSamples: number;
}

/** Where windows of samples come from. */
export interface SampleSource {
  /**
   * Resolves with the samples of [fromMicros, toMicros) as soon as the last of them is harvested. What lies before the
   * recorder's start is cut off. Rejects with LOOPPROF_ABORTED when `signal` aborts.
   */
  window(fromMicros: number, toMicros: number, signal?: AbortSignal): Promise<SampleWindow>;
}

export interface SampleStoreOptions {
  sampleIntervalMicros: number;
  /** How far back windows may reach. */
  windowMs: number;
  /** Adds what was sampled up to now. */
  harvest(signal?: AbortSignal): void | Promise<void>;
}

/** Bound on the chunks' memory, whatever `windowMs` is. */
const MAX_BYTES = 32 * 1024 * 1024;

interface Waiter {
  /** By the monotonic clock. */
  readonly dueAtMs: number;
  resolve(): void;
}

interface Dropped {
  readonly fromMicros: number;
  readonly toMicros: number;
  readonly samples: number;
}

export class SampleStore implements SampleSource {
  readonly #options: Readonly<SampleStoreOptions>;
  #chunks: Chunk[] = [];
  #bytes = 0;
  #dropped: Dropped[] = [];
  readonly #waiters = new Set<Waiter>();
  readonly #readers = new Set<{ fromMicros: number }>();
  #startedMicros = 0;
  #harvestedMicros = 0;
  #failure: LoopprofError | undefined;

  constructor(options: SampleStoreOptions) {
    this.#options = options;
  }

  /** When the samples begin, in microseconds since the epoch; 0 while there are none. */
  get startedMicros(): number {
    return this.#startedMicros;
  }

  /** Up to when there are samples. */
  get harvestedMicros(): number {
    return this.#harvestedMicros;
  }

  /** The chunks that are kept, oldest first. */
  get chunks(): readonly Chunk[] {
    return this.#chunks;
  }

  /** Begins anew: what was kept is let go. */
  begin(startedMicros: number): void {
    this.#failure = undefined;
    this.#chunks = [];
    this.#bytes = 0;
    this.#dropped = [];
    this.#startedMicros = this.#harvestedMicros = startedMicros;
  }

  add(chunk: Chunk): void {
    this.#harvestedMicros = chunk.toMicros;
    this.#chunks.push(chunk);
    this.#bytes += chunk.sizeBytes;
    this.#evict();
    const now = performance.now();
    for (const waiter of this.#waiters) {
      if (waiter.dueAtMs <= now) waiter.resolve();
    }
  }

  /** Lets everything go; whoever waits is told why. */
  end(failure?: LoopprofError): void {
    this.begin(0);
    this.#failure = failure;
    for (const waiter of this.#waiters) waiter.resolve();
    this.#waiters.clear();
  }

  async window(fromMicros: number, toMicros: number, signal?: AbortSignal): Promise<SampleWindow> {
    const reader = { fromMicros };
    this.#readers.add(reader);
    try {
      await this.#harvestedUntil(toMicros, signal);
      if (this.#failure) throw this.#failure;
      if (this.#startedMicros === 0) {
        throw new LoopprofError(
          'LOOPPROF_NOT_STARTED',
          'The profiler was stopped while this profile was being taken.',
        );
      }
      if (toMicros <= this.#startedMicros) {
        throw new LoopprofError(
          'LOOPPROF_INVALID_PARAMETER',
          `The window ends before the recorder began, at ${new Date(this.#startedMicros / 1000).toISOString()}.`,
        );
      }
      return this.#view(Math.max(fromMicros, this.#startedMicros), toMicros);
    } finally {
      this.#readers.delete(reader);
    }
  }

  #view(fromMicros: number, toMicros: number): SampleWindow {
    const overlaps = (range: { fromMicros: number; toMicros: number }) =>
      range.toMicros > fromMicros && range.fromMicros < toMicros;
    return {
      fromMicros,
      toMicros,
      chunks: this.#chunks.filter(overlaps),
      sampleIntervalMicros: this.#options.sampleIntervalMicros,
      droppedSamples: this.#dropped.filter(overlaps).reduce((sum, { samples }) => sum + samples, 0),
    };
  }

  async #harvestedUntil(toMicros: number, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) throw aborted();
    const waitMs = (toMicros - nowMicros()) / 1000;
    // Timers may fire a millisecond early by the wall clock.
    if (waitMs > 0) await this.#wait(Math.ceil(waitMs) + 1, signal);
    if (toMicros > this.#harvestedMicros) await this.#options.harvest(signal);
  }

  /** Resolves after that time, at a harvest if one comes then. */
  async #wait(waitMs: number, signal: AbortSignal | undefined): Promise<void> {
    const dueAtMs = performance.now() + waitMs;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => waiter.resolve(), waitMs);
      timer.unref();
      const settle = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
        signal?.removeEventListener('abort', abort);
      };
      const abort = (): void => {
        settle();
        reject(aborted());
      };
      const waiter: Waiter = {
        dueAtMs,
        resolve: () => {
          settle();
          resolve();
        },
      };
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  /** Old chunks go by age, never under a reader that still waits for them; past MAX_BYTES the oldest go and are counted. */
  #evict(): void {
    let horizon = this.#harvestedMicros - this.#options.windowMs * 1000;
    for (const { fromMicros } of this.#readers) horizon = Math.min(horizon, fromMicros);
    let gone = 0;
    for (const chunk of this.#chunks) {
      const tooOld = chunk.toMicros <= horizon;
      if (!tooOld && this.#bytes <= MAX_BYTES) break;
      if (!tooOld) this.#dropped.push({ ...chunkRange(chunk), samples: chunk.nodes.length });
      this.#bytes -= chunk.sizeBytes;
      gone += 1;
    }
    if (gone > 0) this.#chunks = this.#chunks.slice(gone);
    this.#dropped = this.#dropped.filter(({ toMicros }) => toMicros > horizon);
  }
}

function chunkRange({ fromMicros, toMicros }: Chunk): { fromMicros: number; toMicros: number } {
  return { fromMicros, toMicros };
}

function aborted(): LoopprofError {
  return new LoopprofError('LOOPPROF_ABORTED', 'The caller gave up before the profile was complete.');
}

function nowMicros(): number {
  return Date.now() * 1000;
}
