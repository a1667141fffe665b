import type { LabelSet } from '../engine/engine.js';
import type { Chunk } from './chunk.js';
import { cpuTimesOf } from './cpu-time.js';
import { looksOf } from './looks.js';

/** What counters want to know of a harvest. */
export interface HarvestSummary {
  /** Thread CPU by the labels it was used under. */
  readonly cpuNanos: ReadonlyMap<LabelSet | undefined, number>;
  /** The looks that found the thread at work, in the order of time. */
  readonly looks: readonly { readonly timeMicros: number; readonly labels: LabelSet | undefined }[];
  /** For how long of the time since the harvest before they found it waiting for something to do. */
  readonly idleMs: number;
  readonly ofMs: number;
  readonly toMicros: number;
  readonly chunk: Chunk;
}

export function summarize(chunk: Chunk, intervalMicros: number): HarvestSummary {
  const looks = [...looksOf(chunk, { beforeMicros: chunk.fromMicros })];
  const { nanos, unsampledNanos } = cpuTimesOf(looks, intervalMicros * 1000);
  const cpuNanos = new Map<LabelSet | undefined, number>([[undefined, unsampledNanos + chunk.lostCpuNanos]]);
  looks.forEach(({ labels }, index) =>
    cpuNanos.set(labels, (cpuNanos.get(labels) ?? 0) + (nanos[index] as number)),
  );
  let idleNanos = 0;
  let allNanos = 0;
  for (const { kind, gapNanos } of looks) {
    if (kind === 'idle') idleNanos += gapNanos;
    allNanos += gapNanos;
  }
  return {
    cpuNanos,
    looks: looks.filter(({ kind }) => kind !== 'idle'),
    idleMs: idleNanos / 1e6,
    ofMs: allNanos / 1e6,
    toMicros: chunk.toMicros,
    chunk,
  };
}
