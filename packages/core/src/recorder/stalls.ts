/**
 * Stalls: one callback that held the event loop for longer than `stallThresholdMs`. The monitor sees when, the samples tell
 * where; what was only a queue of short callbacks is told apart here and counted as a backlog.
 */
import type { LabelSet } from '../engine/engine.js';
import { CPU_IN_NEXT, type Chunk } from './chunk.js';
import type { Frame } from './frames.js';
import { callbacksOf, startAfterWait, type Callback, type StallLook } from './callbacks.js';
import { StackTree } from './stack-tree.js';

/**
 * What held the loop: code, the garbage collector, a system call that the thread waited in (or another wait off the CPU), or
 * the machine, which gave the process no CPU.
 */
export type StallCause = 'javascript' | 'gc' | 'sync-io' | 'host';

/** A stall as the monitor sees it. Times are microseconds since the epoch. */
export interface SeenStall {
  readonly startedMicros: number;
  readonly endedMicros: number;
  /** How long the event loop waited right before, as far as that is known. */
  readonly waitedMs: number;
  /** Empty where it was no request's. */
  readonly method: string;
  readonly route: string;
  /** Requests that were in flight or arrived meanwhile. */
  readonly waitingRequests: number;
  /** Thread CPU and time spent ready to run in it, and in up to 5 ms before it; undefined where the system does not tell. */
  readonly cpuMs: number | undefined;
  readonly runDelayMs: number | undefined;
  /** For how long of it other threads of the process did not run either. */
  readonly stoppedMs: number;
}

/** A stack that a stall spent time in. */
export interface StallStack {
  /** Leaf first. */
  readonly frames: readonly Frame[];
  readonly labels: LabelSet | undefined;
  readonly durationMs: number;
}

export interface Stall {
  /** Milliseconds since the epoch. */
  readonly startedMs: number;
  readonly durationMs: number;
  readonly cause: StallCause;
  readonly method: string;
  readonly route: string;
  readonly waitingRequests: number;
  readonly gcMs: number;
  readonly cpuMs: number | undefined;
  readonly runDelayMs: number | undefined;
  /** Longest first. */
  readonly stacks: readonly StallStack[];
}

export interface Backlog {
  /** Turns of the event loop that were long because they ran many callbacks. */
  count: number;
  totalMs: number;
}

const MAX_KEPT = 100;

/** Stalls that wait for their samples. */
const MAX_PENDING = 1000;

/** Collections are reported through two turns of the loop; so many beats lie behind those. */
const BEATS_TO_SETTLE = 3;

/** Whatever takes this share of a stall is its cause. */
const CAUSE_SHARE = 0.5;

export interface StallsOptions {
  readonly stallThresholdMs: number;
  /** How long garbage was collected in a range of microseconds since the epoch. */
  gcMs(fromMicros: number, toMicros: number): number;
  onStall(stall: Stall): void;
}

export class Stalls {
  readonly backlog: Backlog = { count: 0, totalMs: 0 };
  readonly #options: StallsOptions;
  readonly #kept: Stall[] = [];
  #pending: { readonly seen: SeenStall; beats: number }[] = [];
  #count = 0;
  #totalMs = 0;

  constructor(options: StallsOptions) {
    this.#options = options;
  }

  /** The last ones, newest first. */
  get last(): readonly Stall[] {
    return [...this.#kept].reverse();
  }

  get count(): number {
    return this.#count;
  }

  get totalMs(): number {
    return this.#totalMs;
  }

  /** Whether some wait for their samples or for their collections. */
  get pending(): boolean {
    return this.#pending.length > 0;
  }

  add(seen: SeenStall): void {
    if (this.#pending.length >= MAX_PENDING) this.#pending.shift();
    this.#pending.push({ seen, beats: 0 });
  }

  noteBacklog(durationMs: number): void {
    this.backlog.count += 1;
    this.backlog.totalMs += durationMs;
  }

  /** Called on every beat of the event loop while some are pending. */
  beat(): void {
    for (const pending of this.#pending) pending.beats += 1;
  }

  /** Takes up the stalls whose samples are there; without a recorder (`chunks` undefined) all of them. */
  settle(chunks: readonly Chunk[] | undefined): void {
    if (this.#pending.length === 0) return;
    const sampledUntil = chunks ? (chunks.at(-1)?.toMicros ?? 0) : Infinity;
    const isKnown = ({ seen, beats }: { seen: SeenStall; beats: number }): boolean =>
      seen.endedMicros < sampledUntil && beats >= BEATS_TO_SETTLE;
    const known = this.#pending.filter(isKnown);
    this.#pending = this.#pending.filter((each) => !isKnown(each));
    for (const { seen } of known) this.#conclude(seen, chunks ?? []);
  }

  /** One callback was all of it, or several were: each that was long enough is a stall of its own. */
  #conclude(told: SeenStall, chunks: readonly Chunk[]): void {
    const { cpuMs, runDelayMs = 0 } = told;
    const workedMs = cpuMs === undefined ? undefined : cpuMs + runDelayMs;
    const seen = { ...told, startedMicros: startAfterWait(chunks, { ...told, workedMs }) };
    const callbacks = callbacksOf(chunks, seen);
    const isAlone = callbacks.length === 1;
    let restMs = (seen.endedMicros - seen.startedMicros) / 1000;
    for (const callback of callbacks) {
      const durationMs = (callback.toMicros - callback.fromMicros) / 1000;
      if (durationMs < this.#options.stallThresholdMs) continue;
      restMs -= durationMs;
      this.#report(isAlone ? seen : partOf(seen, callback), callback);
    }
    if (restMs >= this.#options.stallThresholdMs) this.noteBacklog(restMs);
  }

  #report(seen: SeenStall, { fromMicros, toMicros, looks }: Callback): void {
    const durationMs = (toMicros - fromMicros) / 1000;
    const gcMs = Math.min(durationMs, this.#options.gcMs(fromMicros, toMicros));
    const { method, route, waitingRequests, runDelayMs, stoppedMs } = seen;
    const cpuMs = seen.cpuMs && Math.min(durationMs, seen.cpuMs);
    const stall: Stall = {
      startedMs: fromMicros / 1000,
      durationMs,
      cause: causeOf({ durationMs, gcMs, cpuMs, runDelayMs, stoppedMs }),
      method,
      route,
      waitingRequests,
      gcMs,
      cpuMs,
      runDelayMs,
      stacks: stacksOf(looks, durationMs),
    };
    this.#count += 1;
    this.#totalMs += durationMs;
    this.#kept.push(stall);
    if (this.#kept.length > MAX_KEPT) this.#kept.shift();
    this.#options.onStall(stall);
  }
}

/** What is seen of a stretch, for one of several callbacks in it: its looks tell whose it was, and what CPU it had. */
function partOf(seen: SeenStall, { fromMicros, toMicros, looks }: Callback): SeenStall {
  const share = (toMicros - fromMicros) / (seen.endedMicros - seen.startedMicros);
  const counts = new Map<LabelSet, number>();
  let cpuNanos = 0;
  for (const { labels, cpuNanos: nanos } of looks) {
    if (labels?.['route'] !== undefined) counts.set(labels, (counts.get(labels) ?? 0) + 1);
    if (nanos !== CPU_IN_NEXT) cpuNanos += nanos;
  }
  const [labels] = [...counts].sort((a, b) => b[1] - a[1])[0] ?? [];
  const isMeasured = looks.every(({ chunk }) => chunk.cpuMeasured);
  return {
    ...seen,
    ...(labels ? { method: labels['method'] ?? '', route: labels['route'] as string } : {}),
    cpuMs: isMeasured ? cpuNanos / 1e6 : seen.cpuMs && seen.cpuMs * share,
    runDelayMs: seen.runDelayMs && seen.runDelayMs * share,
  };
}

function causeOf({
  durationMs,
  gcMs,
  cpuMs,
  runDelayMs = 0,
  stoppedMs,
}: Pick<SeenStall, 'cpuMs' | 'runDelayMs' | 'stoppedMs'> & Pick<Stall, 'durationMs' | 'gcMs'>): StallCause {
  const enoughMs = durationMs * CAUSE_SHARE;
  const working: StallCause = gcMs >= enoughMs ? 'gc' : 'javascript';
  const offCpuMs = cpuMs === undefined ? undefined : durationMs - cpuMs;
  if (offCpuMs !== undefined && offCpuMs < enoughMs) return working;
  // A stopped process looks as if it had waited, or collected garbage, all the time.
  if (stoppedMs >= enoughMs) return 'host';
  if (offCpuMs === undefined || working === 'gc') return working;
  return runDelayMs >= offCpuMs * CAUSE_SHARE ? 'host' : 'sync-io';
}

/** Each stack has as much of the stall as it has of the looks. */
function stacksOf(looks: readonly StallLook[], durationMs: number): StallStack[] {
  const tree = new StackTree();
  const counts = new Map<LabelSet | undefined, Map<number, number>>();
  for (const { chunk, node, labels } of looks) {
    const merged = mergedNode(chunk, node, tree);
    let nodes = counts.get(labels);
    if (!nodes) counts.set(labels, (nodes = new Map<number, number>()));
    nodes.set(merged, (nodes.get(merged) ?? 0) + 1);
  }
  return [...counts]
    .flatMap(([labels, nodes]) =>
      [...nodes].map(([node, count]) => ({
        frames: tree.stack(node),
        labels,
        durationMs: (durationMs * count) / looks.length,
      })),
    )
    .sort((a, b) => b.durationMs - a.durationMs);
}

function mergedNode(chunk: Chunk, node: number, tree: StackTree): number {
  if (node === 0) return 0;
  return tree.child(mergedNode(chunk, chunk.parents[node] as number, tree), chunk.frames[node] as Frame);
}
