import type { PprofSample, ProfileData } from './profile-data.js';
import { labelLine, oneLine, TextStacks } from './text-stacks.js';

/**
 * Go's legacy text (`debug=1`) of profiles with one value, a count: goroutine, goroutineleak, threadcreate. pprof reads it back;
 * labels and notes are comments to it.
 */
export function countText(name: string, data: ProfileData): string {
  const stacks = new TextStacks();
  const countOf = ({ values }: PprofSample): number => values[0] as number;
  const total = data.samples.reduce((sum, sample) => sum + countOf(sample), 0);
  const sorted = [...data.samples].sort((a, b) => countOf(b) - countOf(a));
  return [
    `${name} profile: total ${total}`,
    ...sorted.flatMap((sample) => [
      `${countOf(sample)} @ ${stacks.addresses(sample.stack)}`,
      ...labelLine(sample),
      ...stacks.legend(sample.stack),
      '',
    ]),
    ...data.comments.map((comment) => oneLine(`# ${comment}`)),
    '',
  ].join('\n');
}
