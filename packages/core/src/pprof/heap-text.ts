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
 * Records hold in-use and allocated values. Where what was freed is not known both are the same, except that the header's
 * allocated bytes are one more than in use: pprof takes equal totals for a profile with two columns.
 */
export function heapText(data: ProfileData, stats: HeapStats): string {
  const stacks = new TextStacks();
  const column = (type: string): number => data.sampleTypes.findIndex((each) => each.type === type);
  const inUse = [column('inuse_objects'), column('inuse_space')] as const;
  const allocatedKnown = column('alloc_space') >= 0;
  const allocated = allocatedKnown ? ([column('alloc_objects'), column('alloc_space')] as const) : inUse;
  const totals = [0, 0, 0, 0];
  const records: string[] = [];
  const sorted = [...data.samples].sort((a, b) => b.values[inUse[1]]! - a.values[inUse[1]]!);
  for (const { stack, values } of sorted) {
    const columns = [...inUse, ...allocated].map((index) => values[index] as number);
    columns.forEach((value, index) => (totals[index]! += value));
    records.push(`${countsOf(columns)} @ ${stacks.addresses(stack)}`);
    records.push(...stacks.legend(stack), '');
  }
  if (totals[3] === totals[1]) totals[3]! += 1;
  return [
    `heap profile: ${countsOf(totals)} @ heap/2`,
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

function countsOf([objects, bytes, allocObjects, allocBytes]: readonly number[]): string {
  return `${objects}: ${bytes} [${allocObjects}: ${allocBytes}]`;
}
