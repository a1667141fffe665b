import type { LabelSet } from '../engine/engine.js';

/** Label sets live as long as the process, so that values that never end (ids of users) must not fill its memory. */
const MAX_SETS = 10_000;

/** LabelSets gives one object per distinct set of labels. */
export class LabelSets {
  readonly #sets = new Map<string, LabelSet>();

  /** `base` with `added` on top, last wins; `base` itself once there are too many sets. */
  merge(base: LabelSet | undefined, added: Readonly<Record<string, unknown>>): LabelSet | undefined {
    const entries = Object.entries({ ...base, ...added }).map(
      ([name, value]) => [name, String(value)] as const,
    );
    entries.sort(([a], [b]) => (a < b ? -1 : 1));
    const key = JSON.stringify(entries);
    const known = this.#sets.get(key);
    if (known) return known;
    if (this.#sets.size >= MAX_SETS) return base;
    const labels = Object.fromEntries(entries);
    this.#sets.set(key, labels);
    return labels;
  }
}
