/**
 * The always-on recorder: samples the main thread from `start()` on and keeps the samples of the last `windowMs`. Every CPU
 * answer is a window of what it holds, so any number of readers ask at once and nothing has to be switched on first.
 */
import type { CpuSampler, LabelTrack } from '../engine/engine.js';
import { threadCpuNanos } from '../engine/thread-cpu.js';
import { LoopprofError, messageOf } from '../errors.js';
import { chunkOf, CPU_IN_NEXT, type Chunk } from './chunk.js';
import { FrameTable } from './frames.js';

export interface RecorderOptions {
  cpuSampleIntervalMicros: number;
  /** `auto`: where they cost almost nothing, and elsewhere while somebody waits for a window. */
  labels: boolean | 'auto';
  /** How far back windows may reach. */
  windowMs: number;
  /** Told of every harvest, before anybody reads it. */
  onHarvest(chunk: Chunk): void;
  /** Told once when the sampler fails while it runs; the recorder has then stopped. */
  onFailure(error: LoopprofError): void;
}

/** A window of samples, with what the reader must know to trust it. */
export interface SampleWindow {
  readonly fromMicros: number;
  readonly toMicros: number;
  readonly chunks: readonly Chunk[];
  readonly sampleIntervalMicros: number;
  /** Samples of this window that no longer fitted into the recorder's memory. */
  readonly droppedSamples: number;
}

/** Bound on the chunks' memory, whatever `windowMs` is. */
const MAX_BYTES = 32 * 1024 * 1024;

/**
 * A harvest costs by the size of the call tree it collects, so the distance between harvests follows their cost: the pause
 * stays small in a large busy program, and an idle one is left alone.
 */
const HARVEST_MIN_MS = 1000;
const HARVEST_MAX_MS = 5000;
const HARVEST_COST_HIGH_MS = 2.5;
const HARVEST_COST_LOW_MS = 1;

const MAX_OWED_INTERVALS = 5;

/** The wall clock is corrected by small steps all the time. */
const CLOCK_TOLERANCE_MICROS = 100_000;

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

export class Recorder {
  readonly #sampler: CpuSampler;
  readonly #options: RecorderOptions;
  readonly #frameTable = new FrameTable();
  #chunks: Chunk[] = [];
  #bytes = 0;
  #dropped: Dropped[] = [];
  #waiters = new Set<Waiter>();
  #readers = new Set<{ fromMicros: number }>();
  #timer: NodeJS.Timeout | undefined;
  #harvestEveryMs = HARVEST_MIN_MS;
  #harvestedMicros = 0;
  #startedMicros = 0;
  #failure: LoopprofError | undefined;
  /** Thread CPU at the last harvest, and what of it no look has carried yet. */
  #cpuNanosBefore: number | undefined;
  #cpuNanosOwed = 0;

  constructor(sampler: CpuSampler, options: RecorderOptions) {
    this.#sampler = sampler;
    this.#options = options;
  }

  /** When the samples begin, in microseconds since the epoch; 0 before `start()`. */
  get startedMicros(): number {
    return this.#startedMicros;
  }

  /** How samples get labels; undefined when they get none. */
  get labels(): LabelTrack | undefined {
    return this.#sampler.labels;
  }

  /** Bytes that the kept samples take. */
  get sizeBytes(): number {
    return this.#bytes;
  }

  start(): void {
    this.#failure = undefined;
    this.#sampler.start({
      intervalMicros: this.#options.cpuSampleIntervalMicros,
      labels: this.#options.labels !== false,
    });
    if (this.#options.labels === true) this.labels?.retain();
    this.#startedMicros = this.#harvestedMicros = nowMicros();
    this.#cpuNanosBefore = threadCpuNanos();
    this.#cpuNanosOwed = 0;
    this.#schedule();
  }

  stop(): void {
    if (this.#startedMicros === 0) return;
    this.#release();
    this.#sampler.stop();
  }

  #fail(error: unknown): void {
    this.#failure = new LoopprofError(
      'LOOPPROF_ENGINE_UNAVAILABLE',
      `The CPU sampler failed: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
    this.#release();
    try {
      this.#sampler.stop();
    } catch {
      // It has failed already.
    }
    this.#options.onFailure(this.#failure);
  }

  #release(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#startedMicros = 0;
    if (this.#options.labels === true) this.labels?.release();
    for (const waiter of this.#waiters) waiter.resolve();
    this.#waiters.clear();
    this.#chunks = [];
    this.#bytes = 0;
    this.#dropped = [];
  }

  /**
   * Moves what was sampled since the last harvest into the window. May run at any time, also inside a blocked loop; never
   * throws, because a timer of the host's process runs it.
   */
  harvest(): void {
    if (this.#startedMicros === 0) return;
    const startedAt = performance.now();
    this.#followClock();
    const fromMicros = this.#harvestedMicros;
    const cpuNanos = threadCpuNanos();
    let chunk: Chunk;
    try {
      chunk = this.#sampler.harvest((raw) => {
        const toMicros = Math.max(nowMicros(), fromMicros);
        return chunkOf(raw, this.#frameTable, { fromMicros, toMicros });
      });
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#harvestedMicros = chunk.toMicros;
    this.#settleCpu(chunk, cpuNanos);
    this.#chunks.push(chunk);
    this.#bytes += chunk.sizeBytes;
    this.#evict();
    this.#adapt(performance.now() - startedAt);
    const now = performance.now();
    for (const waiter of this.#waiters) {
      if (waiter.dueAtMs <= now) waiter.resolve();
    }
    try {
      this.#options.onHarvest(chunk);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** After the wall clock was set back, times from before cannot be told from those to come: what they belong to is let go. */
  #followClock(): void {
    const now = nowMicros();
    if (now + CLOCK_TOLERANCE_MICROS >= this.#harvestedMicros) return;
    this.#chunks = [];
    this.#bytes = 0;
    this.#dropped = [];
    this.#startedMicros = this.#harvestedMicros = now;
  }

  /**
   * Resolves with the samples of [fromMicros, toMicros) as soon as the last of them is harvested. What lies before the
   * recorder's start is cut off. Rejects with LOOPPROF_ABORTED when `signal` aborts.
   */
  async window(fromMicros: number, toMicros: number, signal?: AbortSignal): Promise<SampleWindow> {
    const reader = { fromMicros };
    const { labels } = this;
    this.#readers.add(reader);
    labels?.retain();
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
      labels?.release();
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
      sampleIntervalMicros: this.#options.cpuSampleIntervalMicros,
      droppedSamples: this.#dropped.filter(overlaps).reduce((sum, { samples }) => sum + samples, 0),
    };
  }

  async #harvestedUntil(toMicros: number, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) throw aborted();
    const waitMs = (toMicros - nowMicros()) / 1000;
    if (waitMs <= 0) {
      if (toMicros > this.#harvestedMicros) this.harvest();
      return;
    }
    // Timers may fire a millisecond early by the wall clock.
    const dueAtMs = performance.now() + Math.ceil(waitMs) + 1;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => waiter.resolve(), dueAtMs - performance.now());
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
    if (toMicros > this.#harvestedMicros) this.harvest();
  }

  /**
   * V8 gives away the last look or two before a harvest, and their CPU with them (10-20 ms each time). The thread's own clock
   * knows what is missing; the next look, which comes after them, carries it. More than a few intervals means that looks were
   * lost elsewhere: then no stack may be charged for it.
   */
  #settleCpu(chunk: Chunk, cpuNanosNow: number | undefined): void {
    const measured = chunk.cpuNanos.reduce((sum, nanos) => sum + Math.max(0, nanos), 0);
    const first = chunk.cpuNanos.findIndex((nanos) => nanos !== CPU_IN_NEXT);
    if (first >= 0 && this.#cpuNanosOwed > 0) {
      chunk.cpuNanos[first]! += this.#cpuNanosOwed;
      this.#cpuNanosOwed = 0;
    }
    if (cpuNanosNow !== undefined && this.#cpuNanosBefore !== undefined) {
      const owed = this.#cpuNanosOwed + cpuNanosNow - this.#cpuNanosBefore - measured;
      const limit = MAX_OWED_INTERVALS * this.#options.cpuSampleIntervalMicros * 1000;
      this.#cpuNanosOwed = Math.min(owed, limit);
      chunk.lostCpuNanos = Math.max(0, owed - limit);
    }
    this.#cpuNanosBefore = cpuNanosNow;
  }

  #schedule(): void {
    this.#timer = setTimeout(() => {
      this.harvest();
      if (this.#startedMicros !== 0) this.#schedule();
    }, this.#harvestEveryMs);
    this.#timer.unref();
  }

  #adapt(costMs: number): void {
    if (costMs > HARVEST_COST_HIGH_MS)
      this.#harvestEveryMs = Math.max(HARVEST_MIN_MS, this.#harvestEveryMs / 2);
    else if (costMs < HARVEST_COST_LOW_MS)
      this.#harvestEveryMs = Math.min(HARVEST_MAX_MS, this.#harvestEveryMs * 1.5);
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
