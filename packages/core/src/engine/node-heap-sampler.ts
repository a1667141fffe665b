import * as v8 from 'node:v8';
import type { HeapSamplerOptions } from './engine.js';

interface HeapProfileOptions {
  sampleInterval: number;
  stackDepth: number;
  includeObjectsCollectedByMajorGC: boolean;
  includeObjectsCollectedByMinorGC: boolean;
}

const { startHeapProfile } = v8 as { startHeapProfile?: (options: HeapProfileOptions) => unknown };

/** Whether Node itself can start V8's heap sampler so that it keeps what was collected (Node 26). */
export const nodeStartsHeapSampler = startHeapProfile !== undefined;

/** Starts V8's heap sampler so that it counts all allocations; throws when one runs already. */
export function startNodeHeapSampler({ intervalBytes, stackDepth }: HeapSamplerOptions): void {
  startHeapProfile?.({
    sampleInterval: intervalBytes,
    stackDepth,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  });
}
