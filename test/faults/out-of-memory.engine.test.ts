/** A program that leaks until it dies leaves behind what it leaked, on every Node. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Manifest, ProfilerConfig } from '@loopprof/core';
import { runToEnd, type Exit } from '../support/child.js';
import { newFolder } from '../support/folder.js';
import { cumulativeOf, readProfile, totalOf } from '../support/profile.js';
import { describeWith } from '../support/tools.js';

const SPACE = 1;
const LIMIT_MB = 100;

function leak(config: Partial<ProfilerConfig>, how = '', env: NodeJS.ProcessEnv = {}): Promise<Exit> {
  return runToEnd('leaks.cjs', {
    args: [JSON.stringify({ enableHTTP: false, ...config }), how],
    nodeArgs: [`--max-old-space-size=${LIMIT_MB}`],
    env,
  });
}

const snapshotsIn = (profileDir: string, reason: string): string[] =>
  existsSync(profileDir)
    ? readdirSync(profileDir)
        .filter((name) => name.includes(`Z-${reason}-`))
        .map((name) => join(profileDir, name))
    : [];

describe('heap exhaustion with the rule outOfMemory', () => {
  const profileDir = join(newFolder(), 'profiles');
  const temporary = newFolder();
  let exit: Exit;
  let snapshot: string;

  beforeAll(async () => {
    // What the host is started with is not for the process that writes the profile.
    const env = { NODE_OPTIONS: '--max-semi-space-size=1 --trace-uncaught', TMPDIR: temporary };
    exit = await leak({ profileDir, hangThresholdMs: 600_000, triggers: [{ on: 'outOfMemory' }] }, '', env);
    snapshot = snapshotsIn(profileDir, 'out-of-memory')[0] ?? 'none';
  });

  it('kills the program as it would without us, and one line says where the profile is', () => {
    expect([exit.code, exit.signal]).toEqual([null, 'SIGABRT']);
    expect(exit.stderr).toMatch(/JavaScript heap out of memory/);
    expect(exit.stderr.match(/loopprof: .*/g)).toEqual([
      `loopprof: out of memory, heap profile written: ${snapshot}`,
    ]);
  });

  it('leaves one snapshot with the heap profile, the leaking function on top', () => {
    expect(readdirSync(profileDir)).toHaveLength(1);
    expect(readdirSync(snapshot).sort()).toEqual(['manifest.json', 'mem.prof']);
    const profile = readProfile(readFileSync(join(snapshot, 'mem.prof')));
    expect(profile.sampleTypes).toEqual(['inuse_objects/count', 'inuse_space/bytes']);
    expect(cumulativeOf(profile, 'leakRecords', SPACE) / totalOf(profile, SPACE)).toBeGreaterThan(0.8);
    const leakedMb = cumulativeOf(profile, 'leakRecords', SPACE) / 2 ** 20;
    expect(leakedMb).toBeGreaterThan(LIMIT_MB * 0.6);
    expect(leakedMb).toBeLessThan(LIMIT_MB * 1.6);
    expect(statSync(join(snapshot, 'mem.prof')).mode & 0o777).toBe(0o600);
  });

  it('tells in the manifest about the process that died, not the one that wrote it', () => {
    const manifest = JSON.parse(readFileSync(join(snapshot, 'manifest.json'), 'utf8')) as Manifest;
    expect(manifest).toMatchObject({
      reason: 'out-of-memory',
      triggers: [{ on: 'outOfMemory', values: { heapLimitBytes: LIMIT_MB * 2 ** 20 } }],
      node: process.version,
      engine: expect.stringMatching(/^@datadog/) as string,
    });
    expect(snapshot.endsWith(`-${manifest.pid}`)).toBe(true);
  });

  it("leaves nothing else behind, such as the engine's export", () => {
    expect(readdirSync(temporary)).toEqual([]);
  });

  describeWith('go', 'go tool pprof', () => {
    it('names the leaking function first', () => {
      const args = ['tool', 'pprof', '-top', '-nodecount=3', join(snapshot, 'mem.prof')];
      const top = execFileSync('go', args, {
        encoding: 'utf8',
        env: { ...process.env, GOTOOLCHAIN: 'local' },
      });
      expect(top.split('\n').find((line) => line.includes('%'))).toBeDefined();
      expect(top.split('\n').findIndex((line) => line.includes('leakRecords'))).toBe(
        top.split('\n').findIndex((line) => line.includes('flat%')) + 1,
      );
    });
  });
});
