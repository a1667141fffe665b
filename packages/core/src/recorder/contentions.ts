import type { LabelSet } from '../engine/engine.js';
import { pseudoFrame, type Frame } from './frames.js';

/** One wait: where, under which labels, for how long, and how many waits it stands for. */
export interface Contention {
  /** Leaf first. */
  readonly frames: readonly Frame[];
  /** One object per distinct set. */
  readonly labels?: LabelSet | undefined;
  readonly delayNanos: number;
  /** 0 for a part of a wait that is counted with another part; 1 unless given. */
  readonly count?: number;
  /** 1 / the probability with which it was taken, as {@link blockWeight} and {@link mutexWeight} give it. */
  readonly weight: number;
}

/** What waits at one place add up to. */
export interface ContentionRow {
  /** Leaf first. */
  readonly frames: readonly Frame[];
  readonly labels: LabelSet | undefined;
  readonly count: number;
  readonly delayNanos: number;
}

export interface ContentionReading {
  readonly rows: readonly ContentionRow[];
  /** Waits that are in the `(other)` row because there were too many places. */
  readonly overflowed: number;
}

/** Scrapers and stores take profiles of up to 16 000 samples. */
const MAX_ROWS = 5000;

const OTHER_FRAMES: readonly Frame[] = [pseudoFrame('(other)')];

interface Sum {
  readonly frames: readonly Frame[];
  readonly labels: LabelSet | undefined;
  count: number;
  delayNanos: number;
}

/** ContentionTable adds up waits by stack and labels, from its creation on; places beyond `maxRows` share the row `(other)`. */
export class ContentionTable {
  readonly #maxRows: number;
  readonly #rows = new Map<string, Sum>();
  readonly #ids = new WeakMap<object, number>();
  #nextId = 1;
  #overflowed = 0;

  constructor(maxRows = MAX_ROWS) {
    this.#maxRows = maxRows;
  }

  add({ frames, labels, delayNanos, count = 1, weight }: Contention): void {
    const row = this.#row(frames, labels) ?? this.#other(weight);
    row.count += weight * count;
    row.delayNanos += weight * delayNanos;
  }

  /** The sums up to now, rounded to whole numbers. */
  read(): ContentionReading {
    const rows = [...this.#rows.values()].map(({ frames, labels, count, delayNanos }) => ({
      frames,
      labels,
      count: Math.round(count),
      delayNanos: Math.round(delayNanos),
    }));
    return { rows, overflowed: Math.round(this.#overflowed) };
  }

  #row(frames: readonly Frame[], labels: LabelSet | undefined): Sum | undefined {
    let key = labels ? `${this.#id(labels)}` : '';
    for (const frame of frames) key += `,${this.#id(frame)}`;
    const found = this.#rows.get(key);
    if (found || this.#rows.size >= this.#maxRows) return found;
    return this.#keep(key, { frames, labels, count: 0, delayNanos: 0 });
  }

  #other(weight: number): Sum {
    this.#overflowed += weight;
    return (
      this.#rows.get('other') ??
      this.#keep('other', { frames: OTHER_FRAMES, labels: undefined, count: 0, delayNanos: 0 })
    );
  }

  #keep(key: string, row: Sum): Sum {
    this.#rows.set(key, row);
    return row;
  }

  #id(object: object): number {
    let id = this.#ids.get(object);
    if (id === undefined) this.#ids.set(object, (id = this.#nextId++));
    return id;
  }
}

/**
 * Decides whether a wait is taken, as Go's `runtime.SetBlockProfileRate(rateNanos)` does: those of `rateNanos` and longer always,
 * shorter ones with the probability delay / rate. Gives the number of waits it then stands for, which keeps sums unbiased, or 0.
 */
export function blockWeight(delayNanos: number, rateNanos: number, random = Math.random): number {
  if (rateNanos <= 0) return 0;
  const nanos = Math.max(1, delayNanos);
  if (nanos >= rateNanos) return 1;
  return random() * rateNanos < nanos ? rateNanos / nanos : 0;
}

/**
 * Decides whether a wait is taken, as Go's `runtime.SetMutexProfileFraction(fraction)` does: one in `fraction`, whatever its
 * length. Gives the number of waits it then stands for, or 0.
 */
export function mutexWeight(fraction: number, random = Math.random): number {
  return fraction > 0 && random() * fraction < 1 ? fraction : 0;
}
