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
  return { cpuNanos, looks: looks.filter(({ kind }) => kind !== 'idle'), toMicros: chunk.toMicros, chunk };
}
