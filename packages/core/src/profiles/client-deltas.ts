import type { PprofSample, ProfileData } from '../pprof/profile-data.js';
import { stackHash } from '../pprof/stack-hash.js';
import type { Breathe } from './pacer.js';

/** Clients remembered; of more, the one that has not asked for longest gets everything again. */
const MAX_CLIENTS = 8;

/** A client that has not asked for so long gets everything again. */
const FORGET_AFTER_MS = 3_600_000;

/** Samples looked at between two breaths. */
const SAMPLES_PER_PIECE = 64;

interface Seen {
  readonly atMs: number;
  /** The values that accumulate, by the hash of the stack. */
  readonly values: ReadonlyMap<number, readonly number[]>;
}

/** ClientDeltas remembers what each client was given of a profile that accumulates, so that it gets only what came since. */
export class ClientDeltas {
  readonly #accumulating: ReadonlySet<string>;
  readonly #clients = new Map<string, Seen>();

  /** @param accumulating Names of the sample types that only grow; the others are given as they are. */
  constructor(accumulating: Iterable<string>) {
    this.#accumulating = new Set(accumulating);
  }

  /**
   * What is new to the client, everything if it is not known, and how to note that it was given that; `breathe` is awaited
   * between pieces.
   */
  async since(
    client: string,
    data: ProfileData,
    breathe: Breathe,
  ): Promise<{ delta: ProfileData; commit: () => void }> {
    const columns = data.sampleTypes.map(({ type }) => this.#accumulating.has(type));
    if (!columns.includes(true)) return { delta: data, commit: () => {} };
    const before = this.#seenBy(client)?.values;
    const values = new Map<number, readonly number[]>();
    const samples: PprofSample[] = [];
    for (const [index, sample] of data.samples.entries()) {
      if (index % SAMPLES_PER_PIECE === 0) await breathe();
      const hash = stackHash(sample);
      const earlier = before?.get(hash);
      values.set(
        hash,
        sample.values.filter((_value, column) => columns[column]),
      );
      let nth = 0;
      const changed = sample.values.map((value, column) =>
        columns[column] ? Math.max(0, value - (earlier?.[nth++] ?? 0)) : value,
      );
      if (changed.some((value) => value !== 0)) samples.push({ ...sample, values: changed });
    }
    return {
      delta: { ...data, samples },
      commit: () => this.#remember(client, { atMs: performance.now(), values }),
    };
  }

  #seenBy(client: string): Seen | undefined {
    const seen = this.#clients.get(client);
    return seen && performance.now() - seen.atMs < FORGET_AFTER_MS ? seen : undefined;
  }

  #remember(client: string, seen: Seen): void {
    this.#clients.delete(client);
    this.#clients.set(client, seen);
    for (const [other, { atMs }] of this.#clients) {
      if (this.#clients.size <= MAX_CLIENTS && seen.atMs - atMs < FORGET_AFTER_MS) break;
      this.#clients.delete(other);
    }
  }
}
