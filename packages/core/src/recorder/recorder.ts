/**
 * The always-on recorder: samples the main thread from `start()` on and keeps the samples of the last `windowMs`. Every CPU
 * answer is a window of what it holds, so any number of readers ask at once and nothing has to be switched on first.
 */
import { AsyncResource } from 'node:async_hooks';
import type { CpuSampler, LabelTrack } from '../engine/engine.js';
import { threadCpuNanos } from '../engine/thread-cpu.js';
import { LoopprofError, messageOf } from '../errors.js';
import { chunkOf, CPU_IN_NEXT, type Chunk } from './chunk.js';
import { FrameTable } from './frames.js';
import { SampleStore, type SampleSource, type SampleWindow } from './sample-store.js';

export interface RecorderOptions {
  cpuSampleIntervalMicros: number;
  /** `auto`: where they cost almost nothing, and elsewhere while somebody waits for a window. */
  labels: boolean | 'auto';
  /** How far back windows may reach. */
  windowMs: number;
  /** Told of every harvest, before anybody reads it. */
  onHarvest(chunk: Chunk): void;
  /** Told when a callback of the recorder's own begins to work, and when it has. */
  onTurn(): void;
  /** Told when somebody else needs what the sampler has, before they take it. */
  onRival(): void;
  /** Told once when the sampler fails while it runs; the recorder has then stopped. */
  onFailure(error: LoopprofError): void;
}

/**
 * A harvest costs by the size of the call tree it collects, so the distance between harvests follows their cost: the pause
 * stays small in a large busy program, and an idle one is left alone.
 */
const HARVEST_MIN_MS = 500;
const HARVEST_MAX_MS = 5000;
const HARVEST_COST_HIGH_MS = 2.5;
const HARVEST_COST_LOW_MS = 1;

const MAX_OWED_INTERVALS = 5;

/** The wall clock is corrected by small steps all the time. */
const CLOCK_TOLERANCE_MICROS = 100_000;

export class Recorder implements SampleSource {
  #sampler: CpuSampler;
  readonly #options: RecorderOptions;
  readonly #frameTable = new FrameTable();
  readonly #context = new AsyncResource('loopprof.recorder');
  readonly #store: SampleStore;
  #timer: NodeJS.Timeout | undefined;
  #harvestEveryMs = HARVEST_MIN_MS;
  #harvestDueMs = 0;
  #harvesting = false;
  #paused = false;
  #harvests = 0;
  #harvestMs = 0;
  /** Thread CPU at the last harvest, and what of it no look has carried yet. */
  #cpuNanosBefore: number | undefined;
  #cpuNanosOwed = 0;

  constructor(sampler: CpuSampler, options: RecorderOptions) {
    this.#sampler = sampler;
    this.#options = options;
    this.#store = new SampleStore({
      sampleIntervalMicros: options.cpuSampleIntervalMicros,
      windowMs: options.windowMs,
      harvest: () => this.harvest(),
    });
  }

  /** When the samples begin, in microseconds since the epoch; 0 while it does not run. */
  get startedMicros(): number {
    return this.#store.startedMicros;
  }

  /** What is kept, oldest first. */
  get chunks(): readonly Chunk[] {
    return this.#store.chunks;
  }

  /** How often it has harvested, and how long that took, with all that follows from a harvest. */
  get spent(): { harvests: number; harvestMs: number } {
    return { harvests: this.#harvests, harvestMs: this.#harvestMs };
  }

  /** How samples get labels; undefined when they get none. */
  get labels(): LabelTrack | undefined {
    return this.#sampler.labels;
  }

  start(): void {
    this.#startSampler();
    this.#store.begin(nowMicros());
    this.#cpuNanosBefore = threadCpuNanos();
    this.#cpuNanosOwed = 0;
    this.#schedule(this.#harvestEveryMs);
  }

  stop(): void {
    if (this.startedMicros === 0) return;
    this.#release();
    this.#sampler.stop();
  }

  /** Goes on with another engine's sampler; what was sampled so far is kept. Never throws: a failure is told as one of sampling. */
  useSampler(sampler: CpuSampler): void {
    this.pause();
    this.#sampler = sampler;
    this.resume();
  }

  /** Samples nothing until `resume()`; what was sampled so far is kept. Never throws, as `useSampler()`. */
  pause(): void {
    this.harvest();
    if (this.startedMicros === 0) return;
    this.#paused = true;
    try {
      if (this.#options.labels === true) this.labels?.release();
      this.#sampler.stop();
    } catch (error) {
      this.#fail(error);
    }
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    try {
      this.#startSampler();
      this.#cpuNanosBefore = threadCpuNanos();
      this.#cpuNanosOwed = 0;
    } catch (error) {
      this.#fail(error);
    }
  }

  #startSampler(): void {
    this.#sampler.start({
      intervalMicros: this.#options.cpuSampleIntervalMicros,
      labels: this.#options.labels !== false,
      onRival: () => this.#options.onRival(),
    });
    if (this.#options.labels === true) this.labels?.retain();
  }

  #fail(error: unknown): void {
    const failure = new LoopprofError(
      'LOOPPROF_ENGINE_UNAVAILABLE',
      `The CPU sampler failed: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
    this.#release(failure);
    try {
      this.#sampler.stop();
    } catch {
      // It has failed already.
    }
    this.#options.onFailure(failure);
  }

  #release(failure?: LoopprofError): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#paused = false;
    if (this.#options.labels === true) this.labels?.release();
    this.#store.end(failure);
  }

  /**
   * Moves what was sampled since the last harvest into the window. May run at any time, also inside a blocked loop; never
   * throws, because a timer of the host's process runs it.
   */
  harvest(): void {
    // Asked for from inside a harvest, when the sidecar has interrupted it: that one will do.
    if (this.startedMicros === 0 || this.#harvesting || this.#paused) return;
    this.#harvesting = true;
    const startedAt = performance.now();
    try {
      this.#harvest();
    } finally {
      this.#harvesting = false;
      this.#harvests += 1;
      this.#harvestMs += performance.now() - startedAt;
    }
  }

  #harvest(): void {
    const startedAt = performance.now();
    this.#followClock();
    const fromMicros = this.#store.harvestedMicros;
    const cpuNanos = threadCpuNanos();
    const jobsHaveIds = this.labels?.takeJobIds() ?? false;
    let chunk: Chunk;
    try {
      chunk = this.#sampler.harvest((raw) => {
        const toMicros = Math.max(nowMicros(), fromMicros);
        return chunkOf(raw, this.#frameTable, { fromMicros, toMicros, jobsHaveIds });
      });
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (chunk.cpuMeasured) this.#settleCpu(chunk, cpuNanos);
    this.#store.add(chunk);
    this.#adapt(performance.now() - startedAt);
    try {
      this.#options.onHarvest(chunk);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Harvests within that time, for somebody who waits for samples that are there but not yet seen. */
  harvestWithin(durationMs: number): void {
    if (this.startedMicros === 0 || this.#harvestDueMs <= performance.now() + durationMs) return;
    clearTimeout(this.#timer);
    this.#schedule(durationMs);
  }

  /** After the wall clock was set back, times from before cannot be told from those to come: what they belong to is let go. */
  #followClock(): void {
    const now = nowMicros();
    if (now + CLOCK_TOLERANCE_MICROS < this.#store.harvestedMicros) this.#store.begin(now);
  }

  async window(fromMicros: number, toMicros: number, signal?: AbortSignal): Promise<SampleWindow> {
    const { labels } = this;
    labels?.retain();
    try {
      return await this.#store.window(fromMicros, toMicros, signal);
    } finally {
      labels?.release();
    }
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

  #schedule(durationMs: number): void {
    this.#harvestDueMs = performance.now() + durationMs;
    const harvest = (): void => {
      this.#options.onTurn();
      this.harvest();
      this.#options.onTurn();
      if (this.startedMicros !== 0) this.#schedule(this.#harvestEveryMs);
    };
    // Whoever asks for an early harvest may be at work on a request: its context must not live on here, nor label what we do.
    this.#timer = this.#context.runInAsyncScope(() => setTimeout(harvest, durationMs));
    this.#timer.unref();
  }

  #adapt(costMs: number): void {
    if (costMs > HARVEST_COST_HIGH_MS)
      this.#harvestEveryMs = Math.max(HARVEST_MIN_MS, this.#harvestEveryMs / 2);
    else if (costMs < HARVEST_COST_LOW_MS)
      this.#harvestEveryMs = Math.min(HARVEST_MAX_MS, this.#harvestEveryMs * 1.5);
  }
}

function nowMicros(): number {
  return Date.now() * 1000;
}
