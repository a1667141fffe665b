/** What a program that leaks until it dies leaves behind, when something is different. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProfilerConfig } from '@loopprof/core';
import { runToEnd, type Exit } from '../support/child.js';
import { newFolder } from '../support/folder.js';
import { cumulativeOf, readProfile, totalOf } from '../support/profile.js';

const SPACE = 1;
const LIMIT_MB = 100;

function leak(config: Partial<ProfilerConfig>, how = '', nodeArgs: readonly string[] = []): Promise<Exit> {
  return runToEnd('leaks.cjs', {
    args: [JSON.stringify({ enableHTTP: false, ...config }), how],
    nodeArgs: [`--max-old-space-size=${LIMIT_MB}`, ...nodeArgs],
  });
}

const snapshotsIn = (profileDir: string, reason: string): string[] =>
  existsSync(profileDir)
    ? readdirSync(profileDir)
        .filter((name) => name.includes(`Z-${reason}-`))
        .map((name) => join(profileDir, name))
    : [];

it('still works after another tool has stopped the sampler and it was started again', async () => {
  const profileDir = join(newFolder(), 'profiles');
  await leak(
    { profileDir, hangThresholdMs: 600_000, triggers: [{ on: 'outOfMemory' }] },
    'after another tool stopped the sampler',
  );
  expect(snapshotsIn(profileDir, 'out-of-memory')).toHaveLength(1);
});

it('is over with stop()', async () => {
  const profileDir = join(newFolder(), 'profiles');
  const { signal } = await leak(
    { profileDir, hangThresholdMs: 600_000, triggers: [{ on: 'outOfMemory' }] },
    'after stop',
  );
  expect([signal, snapshotsIn(profileDir, 'out-of-memory')]).toEqual(['SIGABRT', []]);
});

it('is not there unless it is asked for', async () => {
  const profileDir = join(newFolder(), 'profiles');
  const { signal, stderr } = await leak({ profileDir });
  expect([signal, existsSync(profileDir)]).toEqual(['SIGABRT', false]);
  expect(stderr).not.toContain('loopprof');
});

it('without a heap profile to write, the log says at the start that it has no effect', async () => {
  const { stdout } = await leak({ enableMemory: false, triggers: [{ on: 'outOfMemory' }] }, 'after stop');
  expect(stdout).toMatch(/^loopprof: the trigger outOfMemory has no effect: /);
});

it('a rule on a share of the limit has the whole snapshot on disk before', async () => {
  const profileDir = join(newFolder(), 'profiles');
  // Else the young generation holds 16 MB of what is leaked, and the old one gets them at once, past the rule and V8's end.
  await leak({ profileDir, triggers: [{ on: 'heap', shareAbove: 0.7 }] }, 'slowly', [
    '--max-semi-space-size=1',
  ]);
  const [snapshot = 'none'] = snapshotsIn(profileDir, 'heap');
  expect(readdirSync(snapshot)).toEqual(expect.arrayContaining(['cpu.prof', 'mem.prof', 'manifest.json']));
  const profile = readProfile(readFileSync(join(snapshot, 'mem.prof')));
  expect(cumulativeOf(profile, 'leakRecords', SPACE) / totalOf(profile, SPACE)).toBeGreaterThan(0.6);
});
