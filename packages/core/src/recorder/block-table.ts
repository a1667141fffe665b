import type { LabelSet } from '../engine/engine.js';
import { blockWeight, ContentionTable, type ContentionReading } from './contentions.js';
import { pseudoFrame } from './frames.js';
import type { Stall } from './stalls.js';

/** Stands for the stack of a stall without samples: nothing ran, or nothing is sampled. */
const UNSEEN_FRAMES = { host: [pseudoFrame('(not running)')], other: [pseudoFrame('(unseen)')] };

const NANOS_PER_MS = 1e6;

/** Labels are interned, and routes are bounded; what `withLabels()` adds is not. */
const MAX_LABEL_SETS = 10_000;

/** The time of all stalls, on the stacks that spent it. */
export class BlockTable {
  readonly #table = new ContentionTable();
  readonly #labelSets = new Map<string, LabelSet>();
  readonly #rateNanos: number;

  /** @param rateNanos As Go's `runtime.SetBlockProfileRate`. */
  constructor(rateNanos: number) {
    this.#rateNanos = rateNanos;
  }

  add({ durationMs, cause, method, route, stacks }: Stall): void {
    const weight = blockWeight(durationMs * NANOS_PER_MS, this.#rateNanos);
    if (weight === 0) return;
    const own = method === '' ? undefined : { method, route };
    if (stacks.length === 0) {
      const frames = cause === 'host' ? UNSEEN_FRAMES.host : UNSEEN_FRAMES.other;
      const labels = this.#labels(own, cause);
      this.#table.add({ frames, labels, delayNanos: durationMs * NANOS_PER_MS, weight });
    }
    for (const [index, stack] of stacks.entries()) {
      this.#table.add({
        frames: stack.frames,
        // A look in the collector has no labels of its own.
        labels: this.#labels(stack.labels ?? own, cause),
        delayNanos: stack.durationMs * NANOS_PER_MS,
        // One stall is one contention, however many stacks it was seen in.
        count: index === 0 ? 1 : 0,
        weight,
      });
    }
  }

  read(): ContentionReading {
    return this.#table.read();
  }

  #labels(labels: LabelSet | undefined, cause: string): LabelSet {
    const all = { ...labels, cause };
    const key = JSON.stringify(all);
    let set = this.#labelSets.get(key);
    if (set) return set;
    if (this.#labelSets.size >= MAX_LABEL_SETS) this.#labelSets.clear();
    this.#labelSets.set(key, (set = all));
    return set;
  }
}
