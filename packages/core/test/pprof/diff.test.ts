import { diffProfiles } from '../../src/pprof/diff.js';
import type { PprofFrame, PprofSample, ProfileData } from '../../src/pprof/profile-data.js';

const frame = (name: string, line = 1): PprofFrame => ({ name, file: '/app/a.js', line, column: 1 });

function profile(timeNanos: bigint, samples: PprofSample[], comments: string[] = []): ProfileData {
  return {
    sampleTypes: [
      { type: 'inuse_objects', unit: 'count' },
      { type: 'inuse_space', unit: 'bytes' },
    ],
    periodType: { type: 'space', unit: 'bytes' },
    period: 524_288,
    timeNanos,
    comments,
    samples,
  };
}

const named = ({ samples }: ProfileData) =>
  samples.map(({ stack, values }) => [stack.map(({ name }) => name).join(' < '), ...values]);

describe('the difference of two profiles', () => {
  it('subtracts stack by stack, and keeps what grew, shrank, came and went', () => {
    const [main, grows, shrinks, comes, goes] = ['main', 'grows', 'shrinks', 'comes', 'goes'].map((name) =>
      frame(name),
    ) as [PprofFrame, PprofFrame, PprofFrame, PprofFrame, PprofFrame];
    const before = profile(1_000n, [
      { stack: [grows, main], values: [1, 100] },
      { stack: [shrinks, main], values: [5, 500] },
      { stack: [goes, main], values: [2, 200] },
    ]);
    const after = profile(4_000n, [
      { stack: [grows, main], values: [3, 350] },
      { stack: [shrinks, main], values: [4, 100] },
      { stack: [comes, main], values: [7, 70] },
    ]);
    expect(named(diffProfiles(before, after)).sort()).toEqual([
      ['comes < main', 7, 70],
      ['goes < main', -2, -200],
      ['grows < main', 2, 250],
      ['shrinks < main', -1, -400],
    ]);
  });

  it('leaves out what did not change, and keeps what changed in one value only', () => {
    const before = profile(1n, [
      { stack: [frame('same')], values: [1, 100] },
      { stack: [frame('moved')], values: [2, 100] },
    ]);
    const after = profile(2n, [
      { stack: [frame('same')], values: [1, 100] },
      { stack: [frame('moved')], values: [1, 100] },
    ]);
    expect(named(diffProfiles(before, after))).toEqual([['moved', -1, 0]]);
  });

  it('knows a function by what is shown of it, not by its object', () => {
    const before = profile(1n, [{ stack: [frame('f', 3)], values: [1, 10] }]);
    const after = profile(2n, [
      { stack: [frame('f', 3)], values: [1, 10] },
      { stack: [frame('f', 4)], values: [1, 10] },
    ]);
    const { samples } = diffProfiles(before, after);
    expect(samples).toEqual([{ stack: [frame('f', 4)], values: [1, 10] }]);
  });

  it('tells stacks apart by order, depth and labels', () => {
    const [a, b] = [frame('a'), frame('b')];
    const before = profile(1n, [
      { stack: [a, b], values: [1, 1] },
      { stack: [a], values: [1, 1], labels: { route: '/x' } },
    ]);
    const after = profile(2n, [
      { stack: [b, a], values: [1, 1] },
      { stack: [a], values: [1, 1], labels: { route: '/y' } },
    ]);
    expect(diffProfiles(before, after).samples).toHaveLength(4);
  });

  it('adds up samples of one stack before it subtracts', () => {
    const before = profile(1n, [
      { stack: [frame('f')], values: [1, 10] },
      { stack: [frame('f')], values: [2, 20] },
    ]);
    const after = profile(2n, [{ stack: [frame('f')], values: [4, 40] }]);
    expect(named(diffProfiles(before, after))).toEqual([['f', 1, 10]]);
  });

  it('is dated at its end, lasts the time between, and says what the end says', () => {
    const difference = diffProfiles(profile(1_000n, [], ['early']), profile(4_000n, [], ['late']));
    expect(difference).toEqual({ ...profile(4_000n, [], ['late']), durationNanos: 3_000n });
  });

  it('changes neither profile', () => {
    const before = profile(1n, [{ stack: [frame('f')], values: [1, 10] }]);
    const after = profile(2n, [{ stack: [frame('f')], values: [2, 20] }]);
    diffProfiles(before, after);
    expect([before.samples[0]?.values, after.samples[0]?.values]).toEqual([
      [1, 10],
      [2, 20],
    ]);
  });
});
