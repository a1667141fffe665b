import { countText } from '../../src/pprof/count-text.js';
import { goroutineText } from '../../src/pprof/goroutine-text.js';
import type { PprofFrame, PprofSample } from '../../src/pprof/profile-data.js';

const frame = (name: string, file = '/app/a.js', line = 7): PprofFrame => ({ name, file, line, column: 1 });

function text(samples: PprofSample[], comments: string[] = []): string[] {
  return countText('goroutine', {
    sampleTypes: [{ type: 'goroutine', unit: 'count' }],
    periodType: { type: 'goroutine', unit: 'count' },
    period: 1,
    timeNanos: 0n,
    comments,
    samples,
  }).split('\n');
}

/** As pprof looks for them. */
const HEADER = /^(\S+) profile: total \d+$/;
const RECORD = /^(\d+) @(( 0x[0-9a-f]+)+)$/;

describe("Go's text of counts", () => {
  const samples: PprofSample[] = [
    { stack: [frame('few')], values: [2] },
    {
      stack: [frame('many'), frame('main')],
      values: [40],
      labels: { kind: 'timer', route: '/say "hi"' },
      numLabels: { age: { value: 10, unit: 'seconds' } },
    },
  ];

  it('begins with the total and has the most first, each followed by labels, names and an empty line', () => {
    const lines = text(samples);
    expect(lines[0]).toBe('goroutine profile: total 42');
    expect(lines[0]).toMatch(HEADER);
    expect(lines[1]).toMatch(/^40 @ 0x[0-9a-f]+ 0x[0-9a-f]+$/);
    expect(lines[2]).toBe('# labels: {"age":"10 seconds", "kind":"timer", "route":"/say \\"hi\\""}');
    expect(lines[3]).toMatch(/^#\t0x[0-9a-f]+\tmany\t\/app\/a\.js:7$/);
    expect(lines[4]).toMatch(/^#\t0x[0-9a-f]+\tmain\t/);
    expect(lines.slice(5, 7)).toEqual(['', expect.stringMatching(/^2 @ 0x/)]);
  });

  it('of nothing is a header', () => {
    expect(text([]).filter(Boolean)).toEqual(['goroutine profile: total 0']);
  });

  it('keeps line breaks in names, labels and notes from becoming records', () => {
    const evil = 'evil\n9 @ 0x1\n9 @ 0x2';
    const lines = text([{ stack: [frame(evil, evil)], values: [1], labels: { [evil]: evil } }], [evil]);
    expect(lines.filter((line) => RECORD.test(line))).toHaveLength(1);
  });
});

describe("Go's text of goroutines", () => {
  it('has number, state, minutes from one on, labels, and two lines per frame', () => {
    const entry = {
      state: 'timer',
      ageSeconds: 130,
      labels: { route: '/a' },
      stack: [frame('wait'), frame('main')],
    };
    expect(goroutineText(entry)(7)).toBe(
      'goroutine 7 [timer, 2 minutes, labels:{"route": "/a"}]:\nwait(...)\n\t/app/a.js:7 +0x0\nmain(...)\n\t/app/a.js:7 +0x0\n\n',
    );
    const young = { state: 'fs', ageSeconds: 59, labels: {}, stack: [frame('(fs)', '', 0)] };
    expect(goroutineText(young)(8)).toBe('goroutine 8 [fs]:\n(fs)(...)\n\t(native):0 +0x0\n\n');
  });
});
