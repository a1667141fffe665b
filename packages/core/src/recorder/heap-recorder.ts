import { getHeapStatistics } from 'node:v8';
import type { HeapCounting, HeapSampler, RawHeapNode } from '../engine/engine.js';
import { LoopprofError, messageOf } from '../errors.js';
import { AllocationTotals } from './allocation-totals.js';
import { AllocationWindows, type AllocationStack, type AllocationWindow } from './allocation-windows.js';
import { FrameTable, type Frame } from './frames.js';
import { collectGarbage } from './garbage.js';
import { abortableSleep } from './abortable-sleep.js';
import { HeapStacks, type HeapCounts } from './heap-counts.js';

/** What one stack has allocated. */
export interface HeapStack extends HeapCounts {
  /** Leaf first. */
  readonly frames: readonly Frame[];
}

export interface HeapReading {
  readonly stacks: readonly HeapStack[];
  /** Whether the stacks tell what was allocated since the start, too. */
  readonly totals: boolean;
  /** What of it does not reach back to the start, and why. */
  readonly notes: readonly string[];
  /** Mean distance between two samples. */
  readonly intervalBytes: number;
  /** The process's memory at that moment. */
  readonly memory: NodeJS.MemoryUsage;
}

/** All that was allocated in a window, live or not. */
export interface AllocationReading {
  readonly stacks: readonly AllocationStack[];
  /** Mean distance between two samples. */
  readonly intervalBytes: number;
}

/** Where readings of the heap come from. */
export interface HeapSource {
  /** The sampled live allocations, after a collection if `gc` asks for one; all allocations too, where they are counted. */
  read(options: { gc: boolean }): HeapReading | Promise<HeapReading>;
  /**
   * Counts all allocations of the next `durationMs`. Rejects with LOOPPROF_NOT_SUPPORTED where that is not allowed, with
   * LOOPPROF_ABORTED when `signal` aborts.
   */
  countAllocations(durationMs: number, signal?: AbortSignal): Promise<AllocationReading>;
}

export interface HeapRecorderOptions {
  /** Mean distance between two samples. */
  intervalBytes: number;
  /** Count all allocations from the start on, where live ones can be told from them. */
  totals: boolean;
  /** Whether the sampler may be lent to windows that count all allocations. */
  windows: boolean;
  /** Runs what nobody may interrupt to read the heap: there is no sampler for a moment. */
  readonly undisturbed: <T>(work: () => T) => T;
}

/** Deeper callers are cut off; V8 keeps this many frames from the leaf. */
const STACK_DEPTH = 128;

/** A window lasts seconds, so it takes a finer sieve. */
const MAX_WINDOW_INTERVAL_BYTES = 65_536;

/**
 * A sampler that counts everything keeps every sample, about 100 bytes each, and reading it takes 0.1-0.2 ms per thousand of
 * them: past this many it begins anew.
 */
const MAX_SAMPLES = 100_000;
const CHECK_EVERY_MS = 5000;

/**
 * Who else samples the heap comes early as a rule, and is looked for among all modules of the process, in a millisecond per some
 * thousands of them: at each of the first checks, then at one in as many.
 */
const EARLY_CHECKS = 12;

/** Numbers of stacks in use, past which they are given anew when the sampler begins anew. */
const MAX_STACK_NUMBERS = 200_000;

/** The always-on heap sampler, and what it holds now. */
export class HeapRecorder implements HeapSource {
  #sampler: HeapSampler;
  readonly #options: HeapRecorderOptions;
  readonly #frameTable = new FrameTable();
  #stacks = new HeapStacks(this.#frameTable);
  #totals = new AllocationTotals(this.#stacks);
  #counting: HeapCounting;
  /** The last reading of this run, for the case that somebody else ends it. */
  #lastRun: ReadonlyMap<number, HeapCounts> = new Map<number, HeapCounts>();
  #running = false;
  #allocatedBytesAtStart = 0;
  #timer: NodeJS.Timeout | undefined;
  #checks = 0;
  #note: string | undefined;
  #exportCommand: readonly string[] | undefined;
  #windows: AllocationWindows | undefined;
  /** What is live, as it was before the sampler went to the windows. */
  #lent: HeapReading | undefined;

  constructor(sampler: HeapSampler, options: HeapRecorderOptions) {
    this.#sampler = sampler;
    this.#options = options;
    this.#counting = options.totals && sampler.countsBoth ? 'both' : 'live';
  }

  start(): void {
    this.#note = undefined;
    this.#begin();
    if (this.#counting !== 'both') return;
    this.#timer = setInterval(() => this.#options.undisturbed(() => this.#turnOver()), CHECK_EVERY_MS);
    this.#timer.unref();
  }

  /**
   * Runs `command` before the process dies of heap exhaustion, with the path of a file behind it that `readHeapExport()` reads.
   * Gives false where the engine cannot. There is one for all: the first stays.
   */
  exportWhenExhausted(command: readonly string[]): boolean {
    if (!this.#sampler.exportWhenExhausted) return false;
    if (this.#exportCommand) return true;
    this.#sampler.exportWhenExhausted(command);
    this.#exportCommand = command;
    return true;
  }

  stop(): void {
    if (!this.#running) return;
    this.#running = false;
    clearInterval(this.#timer);
    const windows = this.#windows;
    this.#windows = this.#lent = undefined;
    if (windows) windows.stop();
    else this.#sampler.stop();
  }

  /** Goes on with another engine's way to V8's one heap sampler; where that counted live objects alone, it runs on. */
  useSampler(sampler: HeapSampler): void {
    if (!this.#running) return;
    this.#options.undisturbed(() => {
      const before = this.#sampler;
      this.#sampler = sampler;
      if (this.#counting === 'both') {
        before.stop();
        this.#countLiveOnly();
      } else if (!this.#windows) this.#begin();
    });
  }

  /**
   * The sampled live allocations, and all where those are counted. V8 has one heap sampler per isolate and lets anybody stop
   * it (DevTools does): then it is started again and the reading says so.
   */
  read(options: { gc: boolean }): HeapReading {
    return this.#options.undisturbed(() => this.#read(options));
  }

  #read({ gc }: { gc: boolean }): HeapReading {
    if (!this.#running) throw new LoopprofError('LOOPPROF_NOT_STARTED', 'The heap sampler is not running.');
    if (gc) collectGarbage();
    if (this.#lent) return { ...this.#lent, memory: process.memoryUsage() };
    const run = this.#readRun();
    const rows = this.#counting === 'live' ? run : this.#totals.with(run);
    const stacks: HeapStack[] = [];
    for (const [stack, counts] of rows) stacks.push({ ...counts, frames: this.#stacks.frames(stack) });
    return {
      stacks,
      totals: this.#counting === 'both',
      notes: this.#note === undefined ? [] : [this.#note],
      intervalBytes: this.#options.intervalBytes,
      memory: process.memoryUsage(),
    };
  }

  /**
   * V8's one sampler counts for the window meanwhile: what is live stays as it was, and is counted anew when the last window is
   * closed. Also rejects with LOOPPROF_ENGINE_UNAVAILABLE when the sampler cannot do that.
   */
  async countAllocations(durationMs: number, signal?: AbortSignal): Promise<AllocationReading> {
    const { windows } = this.#options;
    if (!windows) {
      throw new LoopprofError(
        'LOOPPROF_NOT_SUPPORTED',
        `"seconds" needs V8's one heap sampler here, on Node ${process.versions.node}: set \`allocWindows: true\`; what is live is then ` +
          'counted anew after each window.',
      );
    }
    if (!this.#windows && !this.#sampler.exclusive) {
      throw new LoopprofError(
        'LOOPPROF_NOT_SUPPORTED',
        "V8's one heap sampler is shared with another tool: it cannot count the allocations of a window.",
      );
    }
    const { undisturbed } = this.#options;
    const window = undisturbed(() => this.#openWindow());
    try {
      await abortableSleep(durationMs, signal);
      return { stacks: undisturbed(() => window.read()), intervalBytes: this.#windowIntervalBytes };
    } finally {
      undisturbed(() => window.close());
    }
  }

  get #windowIntervalBytes(): number {
    return Math.min(this.#options.intervalBytes, MAX_WINDOW_INTERVAL_BYTES);
  }

  #openWindow(): AllocationWindow {
    if (!this.#windows) {
      const lent = this.#read({ gc: false });
      const note = `what is live is as of ${now()}: since then, V8's heap sampler counts for a window of allocs`;
      this.#sampler.stop();
      try {
        this.#windows = new AllocationWindows(
          this.#sampler,
          { intervalBytes: this.#windowIntervalBytes, stackDepth: STACK_DEPTH, frameTable: this.#frameTable },
          () => this.#takeBack(),
        );
      } catch (error) {
        this.#takeBack();
        throw error;
      }
      this.#lent = { ...lent, notes: [...lent.notes, note] };
    }
    return this.#windows.open();
  }

  #takeBack(): void {
    this.#windows = this.#lent = undefined;
    this.#beginAnew("V8's heap sampler had counted for a window of allocs");
  }

  #begin(): void {
    const { intervalBytes } = this.#options;
    try {
      this.#sampler.start({ intervalBytes, stackDepth: STACK_DEPTH, counting: this.#counting });
    } catch (error) {
      if (this.#counting === 'live') throw error;
      // Somebody else samples the heap in a way that tells less.
      this.#counting = 'live';
      this.#sampler.start({ intervalBytes, stackDepth: STACK_DEPTH, counting: 'live' });
    }
    if (this.#exportCommand) this.#sampler.exportWhenExhausted?.(this.#exportCommand);
    this.#running = true;
    this.#lastRun = new Map<number, HeapCounts>();
    this.#allocatedBytesAtStart = allocatedBytes();
  }

  #beginAnew(because: string): void {
    this.#totals.add(this.#lastRun);
    if (this.#stacks.size > MAX_STACK_NUMBERS) {
      const stacks = new HeapStacks(this.#frameTable);
      this.#totals = this.#totals.renumbered(stacks);
      this.#stacks = stacks;
    }
    this.#begin();
    this.#note = `${because}: allocations from before ${now()} are not counted as live`;
  }

  #readRun(): ReadonlyMap<number, HeapCounts> {
    try {
      return this.#readSampler();
    } catch {
      try {
        this.#beginAnew("another tool had stopped V8's heap sampler");
        return this.#readSampler();
      } catch (error) {
        throw new LoopprofError(
          'LOOPPROF_ENGINE_UNAVAILABLE',
          `Another tool has stopped V8's heap sampler and it could not be started again: ${messageOf(error)}`,
          { cause: error },
        );
      }
    }
  }

  #readSampler(): ReadonlyMap<number, HeapCounts> {
    if (this.#counting === 'live') this.#stacks = new HeapStacks(this.#frameTable);
    const run = this.#sampler.read((root) => this.#stacks.counts(root, this.#counting));
    if (this.#counting === 'both') this.#lastRun = run;
    return run;
  }

  /** Runs in a timer of the host's process: what fails shows at the next reading. */
  #turnOver(): void {
    if (this.#counting !== 'both') return;
    try {
      const samples = (allocatedBytes() - this.#allocatedBytesAtStart) / this.#options.intervalBytes;
      const isFull = samples >= MAX_SAMPLES;
      this.#checks += 1;
      const looks = isFull || this.#checks <= EARLY_CHECKS || this.#checks % EARLY_CHECKS === 0;
      if (looks && !this.#sampler.exclusive) {
        this.#readSampler();
        this.#sampler.stop();
        this.#countLiveOnly();
        return;
      }
      if (!isFull) return;
      this.#readSampler();
      this.#sampler.stop();
      this.#beginAnew(
        `V8's heap sampler began anew after ${MAX_SAMPLES} samples, because it keeps them all to count all allocations ` +
          '(`allocTotals: false` counts what is live from the start)',
      );
    } catch {
      // It has been stopped by somebody else.
    }
  }

  /** Who shares V8's one heap sampler with us takes what it holds for live. */
  #countLiveOnly(): void {
    clearInterval(this.#timer);
    this.#counting = 'live';
    this.#beginAnew(
      "V8's heap sampler is shared with another tool, so that all allocations are no longer counted",
    );
  }
}

/** The live allocations that were exported when the heap was exhausted. */
export function readHeapExport(json: string): HeapStack[] {
  const stacks = new HeapStacks(new FrameTable());
  const counts = stacks.counts(JSON.parse(json) as RawHeapNode, 'live');
  return [...counts].map(([stack, each]) => ({ ...each, frames: stacks.frames(stack) }));
}

/** What was ever allocated on V8's heap; 0 where V8 does not say, which is where nobody asks. */
function allocatedBytes(): number {
  return (getHeapStatistics() as { total_allocated_bytes?: number }).total_allocated_bytes ?? 0;
}

function now(): string {
  return new Date().toISOString();
}
