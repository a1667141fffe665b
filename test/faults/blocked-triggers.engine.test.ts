/** A rule that fires in a loop that never ends, on every Node. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Manifest } from '@loopprof/core';
import { startService } from '../support/child.js';
import { newFolder } from '../support/folder.js';
import { readProfile, type ReadProfile } from '../support/profile.js';

const CPU = 1;

const snapshotsIn = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => /^\d.*-\d+$/.test(name))
    .map((name) => join(folder, name));

const manifestOf = (folder: string): Manifest =>
  JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as Manifest;

const cpuOf = (samples: ReadProfile['samples']): number =>
  samples.reduce((sum, { values }) => sum + (values[CPU] ?? 0), 0);

it('what never returns has left its snapshot when it is killed', async () => {
  const profileDir = newFolder();
  const config = { profileDir, labels: true, triggers: [{ on: 'stall', longerThanMs: 1000 }] };
  const service = await startService('blocks.cjs', { args: [JSON.stringify(config)] });
  try {
    const [, app = ''] = service.line.split(' ');
    fetch(`${app}/spin/600000`).catch(() => {});
    while (!service.stderr().includes('"loopprof.snapshot"')) await sleep(50);
  } finally {
    await service.stop();
  }
  const [folder = '', ...others] = snapshotsIn(profileDir);
  expect(others).toEqual([]);
  const { reason, triggers, blocked } = manifestOf(folder);
  const route = { method: 'GET', route: '/spin/:ms' };
  expect({ reason, triggers, blocked }).toMatchObject({
    reason: 'stall',
    triggers: [{ on: 'stall', values: { ...route, ongoing: true, longerThanMs: 1000 } }],
    blocked: route,
  });
  const profile = readProfile(readFileSync(join(folder, 'cpu.prof')));
  const samples = profile.samples.filter(({ labels }) => labels['route'] === '/spin/:ms');
  const guilty = samples.filter(({ stack }) => stack.some(({ name }) => name === 'spinInScript'));
  expect(cpuOf(guilty)).toBeGreaterThan(0.8 * cpuOf(samples));
  const stack = JSON.parse(readFileSync(join(folder, 'stack.json'), 'utf8')) as { stack: { name: string }[] };
  expect(stack.stack.map(({ name }) => name)).toContain('spinInScript');
});
