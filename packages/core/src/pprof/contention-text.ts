import type { ProfileData } from './profile-data.js';
import { labelLine, oneLine, TextStacks } from './text-stacks.js';

/**
 * Go's legacy text (`debug=1`) of the block and mutex profiles, which pprof reads back: `title` is `contention` or `mutex`. One
 * cycle is a nanosecond. The sampling period is 1 whatever the fraction, because pprof multiplies the values by it, and they are
 * scaled up already.
 */
export function contentionText(data: ProfileData, title: 'contention' | 'mutex'): string {
  const stacks = new TextStacks();
  const sorted = [...data.samples].sort((a, b) => (b.values[1] as number) - (a.values[1] as number));
  return [
    `--- ${title}:`,
    'cycles/second=1000000000',
    ...(title === 'mutex' ? ['sampling period=1'] : []),
    ...sorted.flatMap((sample) => {
      const [count, delayNanos] = sample.values as [number, number];
      const record = `${delayNanos} ${count} @ ${stacks.addresses(sample.stack)}`;
      return [record, ...labelLine(sample), ...stacks.legend(sample.stack), ''];
    }),
    ...data.comments.map((comment) => oneLine(`# ${comment}`)),
    '',
  ].join('\n');
}
