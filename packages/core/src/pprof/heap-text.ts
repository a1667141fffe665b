import type { ProfileData } from './profile-data.js';
import { oneLine, TextStacks } from './text-stacks.js';

/** Lines below the records, as Go writes `runtime.MemStats` there. */
export interface HeapStats {
  readonly heapUsedBytes: number;
  readonly heapTotalBytes: number;
  readonly externalBytes: number;
  readonly arrayBuffersBytes: number;
  readonly rssBytes: number;
}

/**
 * Go's legacy heap text (`debug=1`), which pprof reads back. The rate in the header is 1 (written doubled, as Go does): V8's
 * values arrive scaled up, and pprof would scale them a second time by any other rate.
 *
 * Records hold in-use and allocated values; what was freed is not known, so both are the same, except that the header's
 * allocated bytes are one more than in use: pprof takes equal totals for a profile with two columns.
 */
export function heapText(data: ProfileData, stats: HeapStats): string {
  const stacks = new TextStacks();
  let objects = 0;
  let sizeBytes = 0;
  const records: string[] = [];
  const sorted = [...data.samples].sort((a, b) => (b.values[1] as number) - (a.values[1] as number));
  for (const { stack, values } of sorted) {
    const [count, bytes] = values as [number, number];
    objects += count;
    sizeBytes += bytes;
    records.push(`${count}: ${bytes} [${count}: ${bytes}] @ ${stacks.addresses(stack)}`);
    records.push(...stacks.legend(stack), '');
  }
  return [
    `heap profile: ${objects}: ${sizeBytes} [${objects}: ${sizeBytes + 1}] @ heap/2`,
    ...records,
    '',
    '# process.memoryUsage()',
    `# HeapUsed = ${stats.heapUsedBytes}`,
    `# HeapTotal = ${stats.heapTotalBytes}`,
    `# External = ${stats.externalBytes}`,
    `# ArrayBuffers = ${stats.arrayBuffersBytes}`,
    `# RSS = ${stats.rssBytes}`,
    ...data.comments.map((comment) => oneLine(`# ${comment}`)),
    '',
  ].join('\n');
}
