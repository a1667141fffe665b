/** What is pending in this process, as the profiles show it. */
import { countHttpClients } from '../recorder/http-clients.js';
import type { Frame } from '../recorder/frames.js';
import {
  countActiveResources,
  framesOfKind,
  HTTP_CLIENT,
  REQUEST,
  WORKER,
  type OperationKind,
} from '../recorder/operation-kinds.js';
import type { Breathe } from './pacer.js';
import type { ProfileSources } from './sources.js';

/** Things that are pending and have all of this in common. */
export interface Pending {
  readonly kind: OperationKind;
  /** Where they were created, or what they are where that was not recorded; leaf first. */
  readonly frames: readonly Frame[];
  readonly route?: string | undefined;
  /** Their age, or the lower end of the range that it lies in; undefined where it is not known. */
  readonly ageSeconds?: number | undefined;
  readonly count: number;
}

export interface PendingOptions {
  /** Only what was created since then, by the monotonic clock; otherwise all, with exact counts by kind. */
  readonly sinceMs?: number | undefined;
  /** Gives the range that an age lies in, so that what is of about one age is counted together. */
  readonly ageRange: (ageSeconds: number) => number;
  readonly breathe: Breathe;
}

/** What is missing among the operations, in words; empty when nothing is. */
export function missingOperations(sources: ProfileSources): string[] {
  const { dropped } = sources.operations();
  return dropped > 0 ? [`incomplete: ${dropped} more operations were created than are recorded`] : [];
}

const OPERATIONS_PER_PIECE = 256;

/** Everything that is pending: recorded operations, requests in flight, worker threads, and what Node only counts. */
export async function readPending(sources: ProfileSources, options: PendingOptions): Promise<Pending[]> {
  const counts = options.sinceMs === undefined ? countKinds() : undefined;
  const groups = new Groups(options);
  await groups.addOperations(sources.operations(), options.breathe);
  const operations = counts ? reconcile(groups.take(), counts) : groups.take();
  for (const { route, startedAtMs } of sources.monitor().requests.inFlight()) {
    groups.add({ kind: REQUEST, place: REQUEST, route, startedMs: startedAtMs }, () => framesOfKind(REQUEST));
  }
  for (const { frames, startedMs, name, own } of sources.threads().workers()) {
    if (!own) groups.add({ kind: WORKER, place: name, startedMs }, () => frames);
  }
  return [...operations, ...groups.take()];
}

function countKinds(): ReadonlyMap<OperationKind, number> {
  const counts = countActiveResources();
  const clients = countHttpClients(counts.get('socket') ?? 0);
  if (clients) counts.set(HTTP_CLIENT, clients);
  return counts;
}

/** One thing that is pending. */
interface Thing {
  readonly kind: OperationKind;
  /** Equal for things of one place. */
  readonly place: string | number;
  readonly route?: string | undefined;
  readonly startedMs: number;
  readonly weight?: number;
}

class Groups {
  readonly #sinceMs: number;
  readonly #ageRange: (ageSeconds: number) => number;
  readonly #nowMs = performance.now();
  #groups = new Map<string, Pending & { count: number }>();

  constructor({ sinceMs = -Infinity, ageRange }: PendingOptions) {
    this.#sinceMs = sinceMs;
    this.#ageRange = ageRange;
  }

  add({ kind, place, route, startedMs, weight = 1 }: Thing, framesOf: () => readonly Frame[]): void {
    if (startedMs < this.#sinceMs) return;
    const ageSeconds = this.#ageRange(Math.max(0, this.#nowMs - startedMs) / 1000);
    const key = `${place} ${ageSeconds} ${kind} ${route ?? ''}`;
    let group = this.#groups.get(key);
    if (!group) {
      group = { kind, frames: framesOf(), route, ageSeconds, count: 0 };
      this.#groups.set(key, group);
    }
    group.count += weight;
  }

  async addOperations(operations: ReturnType<ProfileSources['operations']>, breathe: Breathe): Promise<void> {
    for (const [index, id] of operations.ids().entries()) {
      if (index % OPERATIONS_PER_PIECE === 0) await breathe();
      const operation = operations.pending(id);
      if (operation) {
        const { stack } = operation;
        this.add({ ...operation, place: stack }, () => operations.framesOf(stack));
      }
    }
  }

  /** The groups up to now. */
  take(): Pending[] {
    const groups = [...this.#groups.values()];
    this.#groups = new Map();
    return groups;
  }
}

/**
 * Where only a share of the operations is recorded, each stands for many, but all of a kind for no more than there are; of those
 * that are not recorded only the kind is known.
 */
function reconcile(groups: readonly Pending[], counts: ReadonlyMap<OperationKind, number>): Pending[] {
  const byKind = new Map<OperationKind, Pending[]>();
  for (const group of groups) {
    const same = byKind.get(group.kind);
    if (same) same.push(group);
    else byKind.set(group.kind, [group]);
  }
  const known = [...byKind].flatMap(([kind, same]) => atMost(same, counts.get(kind) ?? Infinity));
  const stackless = [...counts].flatMap(([kind, count]): Pending[] => {
    const rest = count - sumOf(byKind.get(kind) ?? []);
    return rest > 0 ? [{ kind, frames: framesOfKind(kind), count: rest }] : [];
  });
  return [...known, ...stackless];
}

/** Scales counts down so that they add up to `most`, if they are more. */
function atMost(groups: readonly Pending[], most: number): Pending[] {
  const sum = sumOf(groups);
  if (sum <= most) return [...groups];
  let seen = 0;
  return groups
    .map((group) => {
      const before = Math.round((seen * most) / sum);
      seen += group.count;
      return { ...group, count: Math.round((seen * most) / sum) - before };
    })
    .filter(({ count }) => count > 0);
}

function sumOf(groups: readonly Pending[]): number {
  return groups.reduce((sum, { count }) => sum + count, 0);
}
