/** A heap that grows, and one of which most is garbage: the rule heapGrowth takes one snapshot of the first, and none of the other. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Manifest, Snapshot } from '@loopprof/core';
import { runToEnd } from '../support/child.js';
import { newFolder } from '../support/folder.js';
import { cumulativeOf, readProfile } from '../support/profile.js';

const MB = 2 ** 20;
const SPACE = 1;

interface Line {
  message?: string;
  snapshot?: Snapshot;
  collections?: number;
}

interface Run {
  profileDir: string;
  taken: Snapshot[];
  /** Of the log, those about triggers. */
  said: string[];
  /** Of the old generation, before the heap may have grown and at the end. */
  collections: number[];
}

async function run(how: 'grows' | 'steady', nodeArgs: readonly string[] = []): Promise<Run> {
  const profileDir = newFolder();
  const { code, stdout, stderr } = await runToEnd('growth.cjs', {
    args: [profileDir, how],
    nodeArgs,
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  return {
    profileDir,
    taken: lines.flatMap(({ snapshot }) => snapshot ?? []),
    said: lines.flatMap(({ message = '' }) => (message.includes(' trigger ') ? [message] : [])),
    collections: lines.flatMap((line) => line.collections ?? []),
  };
}

let grows: Run;
let steady: Run;

beforeAll(async () => {
  // Where there is less room V8 collects more often, and growth shows sooner; where there is much, most of the heap is garbage.
  [grows, steady] = await Promise.all([run('grows', ['--max-old-space-size=500']), run('steady')]);
});

it('one that grows fires once, and is held back when it grows again', () => {
  const [snapshot, ...others] = grows.taken;
  expect(others).toEqual([]);
  const { reason, triggers, directory } = snapshot as Snapshot;
  expect({ reason, triggers }).toEqual({
    reason: 'heap-growth',
    triggers: [{ on: 'heapGrowth', values: expect.any(Object) as object, heldBackBefore: 0 }],
  });
  const { heapUsedBytes, averageBytes, timesAverageAbove } = triggers[0]?.values as Record<string, number>;
  expect(timesAverageAbove).toBe(1.5);
  expect(heapUsedBytes).toBeGreaterThan(1.5 * (averageBytes as number));
  // What it held, and what it now holds: garbage is none of it.
  expect(averageBytes).toBeGreaterThan(40 * MB);
  expect(heapUsedBytes).toBeLessThan(200 * MB);

  expect(grows.said).toEqual([
    expect.stringMatching(
      /^loopprof: trigger heapGrowth fired \(heapUsedBytes \d+, averageBytes \d+, timesAverageAbove 1\.5\): taking/,
    ),
    expect.stringMatching(
      /^loopprof: trigger heapGrowth holds \(.*\) but takes no snapshot for \d+ s: its cooldownMs is not over$/,
    ),
  ]);
  expect(readdirSync(grows.profileDir)).toEqual([basename(directory)]);
});

it('its snapshot says why it was taken, and what has made the heap grow', () => {
  const [{ directory, triggers } = {} as Snapshot] = grows.taken;
  const manifest = JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8')) as Manifest;
  expect({ reason: manifest.reason, triggers: manifest.triggers }).toEqual({
    reason: 'heap-growth',
    triggers,
  });
  const heap = readProfile(readFileSync(join(directory, 'mem.prof')));
  expect(cumulativeOf(heap, 'keepRecords', SPACE)).toBeGreaterThan(80 * MB);
});

it('garbage that V8 lets pile up, and the filling of the heap at the start, are no growth', () => {
  const [before = 0, after = 0] = steady.collections;
  expect(after - before).toBeGreaterThan(1);
  expect([steady.taken, steady.said, readdirSync(steady.profileDir)]).toEqual([[], [], []]);
});
