import { contentionText } from '../../src/pprof/contention-text.js';
import { addressOf, frameKey } from '../../src/pprof/addresses.js';
import type { PprofFrame, PprofSample, ProfileData } from '../../src/pprof/profile-data.js';

const frame = (name: string, file = '/app/a.js', line = 7): PprofFrame => ({ name, file, line, column: 1 });

function text(samples: PprofSample[], comments: string[] = [], title: 'contention' | 'mutex' = 'mutex') {
  const data: ProfileData = {
    sampleTypes: [
      { type: 'contentions', unit: 'count' },
      { type: 'delay', unit: 'nanoseconds' },
    ],
    periodType: { type: 'contentions', unit: 'count' },
    period: 1,
    timeNanos: 0n,
    comments,
    samples,
  };
  return contentionText(data, title).split('\n');
}

/** As pprof reads a record. */
const RECORD = /(\d+) *(\d+) @([ x0-9a-f]*)/;

describe("Go's contention text", () => {
  const main = frame('main');
  const samples = [
    { stack: [frame('short'), main], values: [9, 1000] },
    { stack: [frame('long'), main], values: [2, 5000] },
  ];

  it('begins as Go’s does, with a period of 1 for mutex, since pprof multiplies by it', () => {
    expect(text([]).slice(0, 3)).toEqual(['--- mutex:', 'cycles/second=1000000000', 'sampling period=1']);
    expect(text([], [], 'contention').slice(0, 2)).toEqual(['--- contention:', 'cycles/second=1000000000']);
    expect(text([], [], 'contention').join('')).not.toContain('period');
  });

  it('has a record per stack, nanoseconds before count, the longest first', () => {
    const records = text(samples).filter((line) => !line.startsWith('#') && RECORD.test(line));
    expect(records.map((line) => line.split(' @')[0])).toEqual(['5000 2', '1000 9']);
  });

  it('has addresses one above those of the binary form, since pprof takes one off', () => {
    const record = text(samples).find((line) => line.startsWith('5000 ')) as string;
    const address = addressOf(frameKey(frame('long')), new Set());
    expect(record.split(' ').slice(3)[0]).toBe(`0x${(address + 1).toString(16)}`);
  });

  it('names the addresses of a record below it, leaf first', () => {
    const lines = text(samples);
    const at = lines.findIndex((line) => line.startsWith('5000 '));
    const [leaf, caller] = (lines[at] as string).split(' @ ')[1]?.split(' ') as [string, string];
    expect(lines.slice(at + 1, at + 4)).toEqual([
      `#\t${leaf}\tlong\t/app/a.js:7`,
      `#\t${caller}\tmain\t/app/a.js:7`,
      '',
    ]);
  });

  it('has the labels of a record below it', () => {
    const labels = { route: '/a', resource: 'lock' };
    const lines = text([{ stack: [main], values: [1, 2], labels }]);
    expect(lines[lines.findIndex((line) => line.startsWith('2 1 @')) + 1]).toBe(
      '# labels: {"resource":"lock", "route":"/a"}',
    );
  });

  it.each(['function name', 'file name', 'note'])(
    'keeps a line break in a %s from becoming a record',
    (where) => {
      const evil = 'evil\n9 9 @ 0x1';
      const stack = [
        where === 'file name' ? frame('f', evil) : where === 'function name' ? frame(evil) : frame('f'),
      ];
      const lines = text([{ stack, values: [1, 16] }], where === 'note' ? [evil] : []);
      expect(lines.filter((line) => !line.startsWith('#') && RECORD.test(line))).toHaveLength(1);
    },
  );
});
