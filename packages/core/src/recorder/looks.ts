import type { LabelSet } from '../engine/engine.js';
import type { Chunk } from './chunk.js';
import type { Look } from './cpu-time.js';
import type { Frame } from './frames.js';

/** A look of a chunk, with where and under which labels it was. */
export interface ChunkLook extends Look {
  readonly node: number;
  readonly labels: LabelSet | undefined;
  readonly timeMicros: number;
  /** Which callback of the event loop ran; 0 where that is not known. */
  readonly asyncId: number;
}

/** The looks of a chunk in [fromMicros, toMicros); `beforeMicros` is the time of the look before the first. */
export function* looksOf(
  chunk: Chunk,
  {
    fromMicros = -Infinity,
    toMicros = Infinity,
    beforeMicros,
  }: { fromMicros?: number; toMicros?: number; beforeMicros: number },
): Generator<ChunkLook, void> {
  let previousMicros = beforeMicros;
  for (let index = 0; index < chunk.nodes.length; index++) {
    const timeMicros = chunk.timesMicros[index] as number;
    if (timeMicros < fromMicros || timeMicros >= toMicros) continue;
    const node = chunk.nodes[index] as number;
    yield {
      kind: (chunk.frames[node] as Frame).kind,
      gapNanos: (timeMicros - previousMicros) * 1000,
      cpuNanos: chunk.cpuNanos[index] as number,
      labels: chunk.labels?.[index],
      node,
      timeMicros,
      asyncId: chunk.asyncIds[index] as number,
    };
    previousMicros = timeMicros;
  }
}
