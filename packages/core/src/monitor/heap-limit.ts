import { getHeapSpaceStatistics, getHeapStatistics } from 'node:v8';
import { isMainThread, resourceLimits } from 'node:worker_threads';
import { memoryLimitBytes } from './memory-limit.js';

const MB = 2 ** 20;

/**
 * V8 gives one limit for both generations, while a process dies when the old one is full: with `--max-old-space-size=100` Node 24 says
 * 292 MB, of which 192 are the young generation's. Where no flag tells, the young one has at most three semi-spaces of a 64th of the old.
 */
const OLD_SHARE = 64 / (64 + 3);

const FLAG = /--max[-_]old[-_]space[-_]size(-percentage)?[= ](\d+(?:\.\d+)?)/g;

/** Size of the old generation at which V8 gives up. */
export function heapLimitBytes(): number {
  const workersMb = isMainThread ? undefined : resourceLimits.maxOldGenerationSizeMb;
  if (workersMb !== undefined && workersMb > 0) return workersMb * MB;
  // The last one wins, and the command line over the environment.
  const flags = [...`${process.env['NODE_OPTIONS'] ?? ''} ${process.execArgv.join(' ')}`.matchAll(FLAG)].at(
    -1,
  );
  const [, percentage, number] = flags ?? [];
  if (Number(number) > 0)
    return percentage ? (memoryLimitBytes() * Number(number)) / 100 : Number(number) * MB;
  return getHeapStatistics().heap_size_limit * OLD_SHARE;
}

/** What lies in the old generation, garbage that has not been collected yet included. */
export function oldGenerationBytes(): number {
  return getHeapSpaceStatistics()
    .filter(({ space_name }) => !space_name.startsWith('new_'))
    .reduce((sum, { space_used_size }) => sum + space_used_size, 0);
}
