import type { LabelSet } from '../engine/engine.js';
import type { Chunk } from './chunk.js';
import { cpuTimesOf } from './cpu-time.js';
import { looksOf } from './looks.js';

/** The thread CPU of one harvest by the labels it was used under, in nanoseconds. */
export function cpuByLabels(chunk: Chunk, intervalMicros: number): Map<LabelSet | undefined, number> {
  const looks = [...looksOf(chunk, { beforeMicros: chunk.fromMicros })];
  const { nanos, unsampledNanos } = cpuTimesOf(looks, intervalMicros * 1000);
  const sums = new Map<LabelSet | undefined, number>([[undefined, unsampledNanos + chunk.lostCpuNanos]]);
  looks.forEach(({ labels }, index) => sums.set(labels, (sums.get(labels) ?? 0) + (nanos[index] as number)));
  return sums;
}
