/** Rules of `triggers` while the event loop is blocked: they fire meanwhile, and not again when it returns. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Manifest, Snapshot, TriggerRule } from '@loopprof/core';
import { runToEnd } from '../support/child.js';
import { newFolder } from '../support/folder.js';

/** All that a snapshot has, or says that it lacks. */
const PARTS = [
  'block',
  'cpu',
  'gc_stats',
  'goroutine',
  'memory',
  'mutex',
  'requests',
  'runtime',
  'stack',
  'stalls',
];

interface Line {
  step?: string;
  ended?: string;
  firedMeanwhile?: string[];
  snapshot?: Snapshot;
  message?: string;
}

interface Run {
  lines: Line[];
  /** What the event 'snapshot' has told. */
  taken: Snapshot[];
  /** What is on disk. */
  folders: string[];
  stderr: { event: string; directory: string; triggers: object[] }[];
}

async function run(triggers: readonly TriggerRule[], steps: readonly string[]): Promise<Run> {
  const folder = newFolder();
  const { code, stdout, stderr } = await runToEnd('blocked-triggers.cjs', {
    args: [folder, JSON.stringify(triggers), ...steps],
    nodeArgs: ['--max-old-space-size=100'],
  });
  const parsed = <T>(text: string): T[] =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as T);
  expect([code, stderr.replaceAll(/^\{.*\}$/gm, '').trim()]).toEqual([0, '']);
  const lines = parsed<Line>(stdout);
  const taken = lines.flatMap(({ snapshot }) => snapshot ?? []);
  return { lines, taken, folders: snapshotsIn(folder), stderr: parsed(stderr) };
}

const snapshotsIn = (folder: string): string[] =>
  (existsSync(folder) ? readdirSync(folder) : [])
    .filter((name) => /^\d.*-\d+$/.test(name))
    .map((name) => join(folder, name));

const manifestOf = (folder: string): Manifest =>
  JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as Manifest;

const matching = ({ lines }: Run, pattern: RegExp): string[] =>
  lines.flatMap(({ message = '' }) => (pattern.test(message) ? [message] : []));

let allRules: Run;
let native: Run;
let again: Run;

beforeAll(async () => {
  [allRules, native] = await Promise.all([
    run(
      [
        { on: 'stall', longerThanMs: 1000 },
        { on: 'highLoad', utilizationAbove: 0.9, forMs: 1500 },
        { on: 'interval', everyMs: 2000, maxPerHour: 1 },
        { on: 'heap', shareAbove: 0.5 },
        // The program sets it.
        { on: 'rss', shareAbove: 0.5 },
        { on: 'latency', p99AboveMs: 1 },
        { on: 'signal', signal: 'SIGUSR2' },
      ],
      ['allocate 5'],
    ),
    run([{ on: 'stall', longerThanMs: 1000 }], ['native 3000']),
  ]);
  // By itself: the others would make of its short block a long one.
  again = await run([{ on: 'stall', longerThanMs: 300 }], ['wait 600', 'wait 3000']);
});

it('all that can be told from outside fires in a loop, once, on disk before the loop ends', () => {
  const rules = ['heap', 'highLoad', 'interval', 'rss', 'stall'];
  const { lines, taken, folders, stderr } = allRules;
  expect(lines.find(({ firedMeanwhile }) => firedMeanwhile)?.firedMeanwhile?.sort()).toEqual(rules);
  // Also the main thread, which has looked since, has nothing to add.
  expect(taken.flatMap(({ triggers }) => triggers.map(({ on }) => on)).sort()).toEqual(rules);
  expect(taken.map(({ directory }) => directory)).toEqual(folders);
  expect(stderr.map(({ event, directory, triggers }) => ({ event, directory, triggers }))).toEqual(
    taken.map(({ directory, triggers }) => ({ event: 'loopprof.snapshot', directory, triggers })),
  );
  for (const { files, blocked, directory, missing } of taken) {
    // On a machine that has no CPU for it, what is asked for may come too late.
    expect(Object.keys({ ...files, ...missing }).sort()).toEqual(PARTS);
    expect(Object.keys(files)).toEqual(expect.arrayContaining(['cpu', 'runtime', 'stalls']));
    expect(Object.keys(missing)).toEqual(expect.arrayContaining(['mutex', 'goroutine']));
    expect(blocked?.forMs).toBeGreaterThan(1000);
    expect(manifestOf(directory).blocked).toEqual(blocked);
  }
  for (const on of rules)
    expect(
      matching(allRules, new RegExp(`^loopprof: trigger ${on} fired \\(.*: the sidecar takes`)),
    ).toHaveLength(1);
  // The memory is still in use: one cooldown for both threads.
  expect(matching(allRules, /trigger rss holds .* its cooldownMs is not over/)).toHaveLength(1);
  // It was told while it lasted.
  expect(matching(allRules, /trigger stall holds/)).toEqual([]);
});

it('native code: what can be had, once', () => {
  const [snapshot, ...others] = native.taken;
  expect([others, native.folders]).toEqual([[], [snapshot?.directory]]);
  expect(snapshot?.blocked?.kind).toBe('native');
  expect(Object.keys({ ...snapshot?.files, ...snapshot?.missing }).sort()).toEqual(PARTS);
  expect(Object.keys(snapshot?.files ?? {})).toEqual(expect.arrayContaining(['runtime', 'stalls']));
});

it('a rule that has fired before the block is held back in it', () => {
  expect(again.taken.map(({ blocked = 'not' }) => blocked)).toEqual(['not']);
  expect(again.folders).toHaveLength(1);
  const [held = '', ...more] = matching(again, /trigger stall holds/);
  expect([held, more]).toEqual([
    expect.stringMatching(/ongoing true.* its cooldownMs is not over$/) as string,
    [],
  ]);
});
