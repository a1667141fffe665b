import { heapText, type HeapStats } from '../../src/pprof/heap-text.js';
import type { PprofFrame, PprofSample, ProfileData } from '../../src/pprof/profile-data.js';

const STATS: HeapStats = {
  heapUsedBytes: 10,
  heapTotalBytes: 20,
  externalBytes: 30,
  arrayBuffersBytes: 40,
  rssBytes: 50,
};

const frame = (name: string, file = '/app/a.js', line = 7): PprofFrame => ({ name, file, line, column: 1 });

function text(samples: PprofSample[], comments: string[] = []): string[] {
  const data: ProfileData = {
    sampleTypes: [
      { type: 'inuse_objects', unit: 'count' },
      { type: 'inuse_space', unit: 'bytes' },
    ],
    periodType: { type: 'space', unit: 'bytes' },
    period: 524_288,
    timeNanos: 0n,
    comments,
    samples,
  };
  return heapText(data, STATS).split('\n');
}

const RECORD = /^(\d+): (\d+) \[(\d+): (\d+)\] @(?: 0x[0-9a-f]+)+$/;

describe("Go's heap text", () => {
  const main = frame('main');
  const samples = [
    { stack: [frame('small'), main], values: [1, 16] },
    { stack: [frame('large'), main], values: [3, 4096] },
  ];

  it('begins with the totals, unscaled, the allocated bytes one more than in use so that pprof sees four columns', () => {
    expect(text(samples)[0]).toBe('heap profile: 4: 4112 [4: 4113] @ heap/2');
  });

  it('has a record per stack, the largest first, with addresses in lower-case hex', () => {
    const records = text(samples).filter((line) => RECORD.test(line));
    expect(records.map((line) => line.split(' @')[0])).toEqual(['3: 4096 [3: 4096]', '1: 16 [1: 16]']);
  });

  it('names each address of a record below it, leaf first', () => {
    const lines = text(samples);
    const at = lines.findIndex((line) => line.startsWith('3: 4096'));
    const [leaf, caller] = (lines[at] as string).split(' @ ')[1]?.split(' ') as [string, string];
    expect(lines.slice(at + 1, at + 4)).toEqual([
      `#\t${leaf}\tlarge\t/app/a.js:7`,
      `#\t${caller}\tmain\t/app/a.js:7`,
      '',
    ]);
  });

  it('gives a function one address in all records, and each function its own', () => {
    const addresses = text([
      ...samples,
      { stack: [frame('main'), frame('main', '/app/b.js')], values: [1, 1] },
    ])
      .filter((line) => line.startsWith('#\t'))
      .map((line) => line.split('\t').slice(1));
    const names = new Map<string, Set<string>>();
    for (const [address, name, file] of addresses as [string, string, string][]) {
      const key = `${name} ${file}`;
      names.set(key, (names.get(key) ?? new Set()).add(address));
    }
    expect([...names.values()].map((set) => set.size)).toEqual([1, 1, 1, 1]);
    expect(new Set([...names.values()].flatMap((set) => [...set])).size).toBe(4);
  });

  it('ends with the memory of the process and the notes, as comments', () => {
    expect(text(samples, ['another tool had stopped the sampler']).slice(-8)).toEqual([
      '# process.memoryUsage()',
      '# HeapUsed = 10',
      '# HeapTotal = 20',
      '# External = 30',
      '# ArrayBuffers = 40',
      '# RSS = 50',
      '# another tool had stopped the sampler',
      '',
    ]);
  });

  it('of nothing is a header and the memory of the process', () => {
    expect(text([]).filter((line) => line !== '' && !line.startsWith('#'))).toEqual([
      'heap profile: 0: 0 [0: 1] @ heap/2',
    ]);
  });

  it.each(['function name', 'file name', 'note'])(
    'keeps a line break in a %s from becoming a record',
    (where) => {
      const evil = 'evil\n9: 9 [9: 9] @ 0x1';
      const stack = [
        where === 'file name' ? frame('f', evil) : where === 'function name' ? frame(evil) : frame('f'),
      ];
      const lines = text([{ stack, values: [1, 16] }], where === 'note' ? [evil] : []);
      // As pprof looks for records: anywhere in a line that is no comment.
      const read = lines.filter(
        (line) => !line.startsWith('#') && /\d+: *\d+ *\[ *\d+: *\d+ *\] @ 0x/.test(line),
      );
      expect(read).toHaveLength(1);
    },
  );
});
