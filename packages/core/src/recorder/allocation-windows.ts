/** Counts all allocations of a window, by means of a sampler that is not needed elsewhere meanwhile. */
import type { HeapSampler } from '../engine/engine.js';
import { LoopprofError } from '../errors.js';
import { AllocationTotals, type Allocated } from './allocation-totals.js';
import type { Frame, FrameTable } from './frames.js';
import { HeapStacks, type HeapCounts } from './heap-counts.js';

/** What was allocated at one stack in a window, live or not. */
export interface AllocationStack extends Allocated {
  /** Leaf first. */
  readonly frames: readonly Frame[];
}

export interface AllocationWindow {
  /** What was allocated since the window was opened. */
  read(): AllocationStack[];
  /** Must be called; the sampler is given back when the last window is closed. */
  close(): void;
}

/** A sampler that counts everything keeps every sample, about 100 bytes each: past about this many it begins anew. */
const MAX_SAMPLES = 100_000;

/** The first of these pauses, after which it is known how fast samples come, and the bounds of the others. */
const FIRST_RUN_MS = 5000;
const MIN_RUN_MS = 1000;
const MAX_RUN_MS = 60_000;

export class AllocationWindows {
  readonly #sampler: HeapSampler;
  readonly #options: { intervalBytes: number; stackDepth: number };
  readonly #stacks: HeapStacks;
  readonly #totals: AllocationTotals;
  readonly #onLastClosed: () => void;
  #open = 0;
  #timer: NodeJS.Timeout | undefined;
  #runBeganMs = 0;
  #stopped = false;

  /** Takes the sampler, which must be stopped; throws what it throws when it cannot count all allocations. */
  constructor(
    sampler: HeapSampler,
    options: { intervalBytes: number; stackDepth: number; frameTable: FrameTable },
    onLastClosed: () => void,
  ) {
    this.#sampler = sampler;
    this.#options = options;
    this.#stacks = new HeapStacks(options.frameTable);
    this.#totals = new AllocationTotals(this.#stacks);
    this.#onLastClosed = onLastClosed;
    this.#begin(FIRST_RUN_MS);
  }

  open(): AllocationWindow {
    const before = this.#open === 0 ? new Map<number, HeapCounts>() : this.#totals.with(this.#run());
    this.#open += 1;
    let closed = false;
    return {
      read: () => this.#since(before),
      close: () => {
        if (closed) return;
        closed = true;
        this.#open -= 1;
        if (this.#open > 0 || this.#stopped) return;
        this.stop();
        this.#onLastClosed();
      },
    };
  }

  /** Ends all windows; what they are asked for later is refused. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#sampler.stop();
  }

  #since(before: ReadonlyMap<number, HeapCounts>): AllocationStack[] {
    if (this.#stopped) {
      throw new LoopprofError(
        'LOOPPROF_NOT_STARTED',
        'The profiler was stopped while this profile was being taken.',
      );
    }
    const stacks: AllocationStack[] = [];
    for (const [stack, { allocObjects, allocBytes }] of this.#totals.with(this.#run())) {
      const earlier = before.get(stack);
      const since = {
        objects: allocObjects - (earlier?.allocObjects ?? 0),
        sizeBytes: allocBytes - (earlier?.allocBytes ?? 0),
      };
      if (since.objects > 0) stacks.push({ frames: this.#stacks.frames(stack), ...since });
    }
    return stacks;
  }

  #begin(runMs: number): void {
    this.#sampler.start({ ...this.#options, counting: 'all' });
    this.#runBeganMs = performance.now();
    this.#timer = setTimeout(() => this.#turnOver(), runMs);
    this.#timer.unref();
  }

  /** Runs in a timer of the host's process: what fails shows when a window is read. */
  #turnOver(): void {
    try {
      const run = this.#run();
      const sampledBytes = [...run.values()].reduce((sum, { allocBytes }) => sum + allocBytes, 0);
      const samplesPerMs =
        sampledBytes / this.#options.intervalBytes / (performance.now() - this.#runBeganMs);
      this.#totals.add(run);
      this.#sampler.stop();
      this.#begin(Math.min(MAX_RUN_MS, Math.max(MIN_RUN_MS, MAX_SAMPLES / 2 / samplesPerMs)));
    } catch {
      clearTimeout(this.#timer);
    }
  }

  #run(): Map<number, HeapCounts> {
    return this.#sampler.read((root) => this.#stacks.counts(root, 'all'));
  }
}
