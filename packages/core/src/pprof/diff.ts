import { frameKey } from './addresses.js';
import type { PprofFrame, PprofSample, ProfileData } from './profile-data.js';

/**
 * What changed from `before` to `after`, as Go's `?seconds=N` on a snapshot profile: values are subtracted stack by stack
 * (they may be negative), stacks that did not change are left out, the time is `after`'s.
 */
export function diffProfiles(before: ProfileData, after: ProfileData): ProfileData {
  const keys = new Map<PprofFrame, string>();
  const keyOf = (frame: PprofFrame): string => {
    let key = keys.get(frame);
    if (key === undefined) keys.set(frame, (key = frameKey(frame)));
    return key;
  };
  const sums = new Map<string, { sample: PprofSample; values: number[] }>();
  const add = (sample: PprofSample, sign: 1 | -1): void => {
    const key = `${sample.stack.map(keyOf).join('\0')}\0\0${JSON.stringify([sample.labels, sample.numLabels])}`;
    const sum = sums.get(key) ?? { sample, values: sample.values.map(() => 0) };
    sums.set(key, sum);
    sample.values.forEach((value, index) => (sum.values[index]! += sign * value));
  };
  for (const sample of before.samples) add(sample, -1);
  for (const sample of after.samples) add(sample, 1);
  return {
    ...after,
    durationNanos: after.timeNanos - before.timeNanos,
    samples: [...sums.values()]
      .filter(({ values }) => values.some((value) => value !== 0))
      .map(({ sample, values }) => ({ ...sample, values })),
  };
}
