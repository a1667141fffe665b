import type { LabelSet, LabelTrack } from '../engine/engine.js';
import { mainGlobal } from '../realm.js';
import type { Callee, CallSites } from './call-sites.js';
import { ContentionTable, mutexWeight, type ContentionReading } from './contentions.js';
import type { Frame } from './frames.js';
import { LabelSets } from './label-sets.js';
import { isThenable, watchSettling } from './settling.js';
import { Turns } from './turns.js';

export interface WaitsOptions {
  /** One wait in this many is recorded; 0: none. */
  readonly fraction: number;
  readonly callSites: CallSites;
  /** How code is labelled, if it is. */
  readonly labels: () => LabelTrack | undefined;
}

export interface Wait {
  /** Leaf first. */
  readonly frames: readonly Frame[];
  /** What was waited for. */
  readonly resource: string;
  /** The route whose code waited, if that is known. */
  readonly route: string | undefined;
  readonly waitedMs: number;
  readonly weight: number;
}

/** What gives something at once may do a little work for it. */
const FREE_WITHIN_MS = 1;

/** Waits adds up how long code waited for something that others held, since its creation. */
export class Waits {
  readonly #options: WaitsOptions;
  readonly #table = new ContentionTable();
  readonly #labelSets = new LabelSets();
  readonly #turns = new Turns();
  #running = false;

  constructor(options: WaitsOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running = true;
  }

  stop(): void {
    this.#running = false;
  }

  /** Whether the next wait is recorded: the number of waits it then stands for, or 0. */
  draw(): number {
    return this.#running ? mutexWeight(this.#options.fraction) : 0;
  }

  /** The route in force here. */
  route(): string | undefined {
    return this.#options.labels()?.current()?.['route'];
  }

  add({ frames, resource, route, waitedMs, weight }: Wait): void {
    this.#table.add({
      frames,
      labels: this.#labelsOf(resource, route),
      delayNanos: waitedMs * 1e6,
      weight,
    });
  }

  read(): ContentionReading {
    return this.#table.read();
  }

  /**
   * Runs `acquire` and records how long what it gives takes to settle, unless that happens within the turn: then nobody waited.
   * What comes without anything to settle has been waited for if `acquire` itself took its time. `callee` is the function below
   * which the stack begins.
   */
  measure<T>(acquire: () => T, { resource, callee }: { resource: string; callee: Callee }): T {
    const weight = this.draw();
    if (weight === 0) return acquire();
    const { callSites } = this.#options;
    const turn = this.#turns.current();
    const startedMs = performance.now();
    const route = this.route();
    const mark = callSites.mark(callee);
    const add = (waitedMs: number): void =>
      this.add({ frames: callSites.read(mark), resource, route, waitedMs, weight });
    const returned = (): void => {
      const waitedMs = performance.now() - startedMs;
      if (waitedMs > FREE_WITHIN_MS) add(waitedMs);
    };
    let result: T;
    try {
      result = acquire();
    } catch (error) {
      returned();
      throw error;
    }
    if (!isThenable(result)) {
      returned();
      return result;
    }
    return watchSettling(result, () => {
      if (this.#turns.current() !== turn) add(performance.now() - startedMs);
    }) as T;
  }

  /** Records what waits in `Atomics.wait` until the function it gives is called. */
  watchAtomics(): () => void {
    const { Atomics } = mainGlobal;
    const original = Atomics.wait;
    let watching = true;
    const wait = ((...args: Parameters<typeof original>) => {
      const weight = watching ? this.draw() : 0;
      if (weight === 0) return original(...args);
      const startedMs = performance.now();
      const outcome = original(...args);
      const waitedMs = performance.now() - startedMs;
      if (outcome !== 'not-equal') {
        const frames = this.#options.callSites.take(wait);
        this.add({ frames, resource: 'Atomics.wait', route: this.route(), waitedMs, weight });
      }
      return outcome;
    }) as typeof original;
    try {
      Atomics.wait = wait;
    } catch {
      // Frozen intrinsics.
    }
    return () => {
      watching = false;
      // Somebody else may have put theirs in its place meanwhile: then ours stays below it, and only passes on.
      if (Atomics.wait === wait) Atomics.wait = original;
    };
  }

  #labelsOf(resource: string, route: string | undefined): LabelSet | undefined {
    return this.#labelSets.merge(undefined, route === undefined ? { resource } : { resource, route });
  }
}
