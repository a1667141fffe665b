/** What needs the main thread, asked for while its event loop is blocked: an answer at a deadline that says so, or what can be had. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Manifest, Snapshot } from '@loopprof/core';
import { startService, type Service } from '../support/child.js';
import { newFolder } from '../support/folder.js';
import { readProfile } from '../support/profile.js';

const services: Service[] = [];
afterAll(() => Promise.all(services.map((each) => each.stop())));

/** Gives the URLs of a process, and what is there when its loop is not blocked any more. */
async function blocked(way: string, config: object): Promise<{ pprof: string; done: Promise<unknown> }> {
  const service = await startService('blocks.cjs', {
    args: [JSON.stringify({ hangThresholdMs: 600_000, writeOnStop: false, ...config })],
  });
  services.push(service);
  const [pprof = '', app = ''] = service.line.split(' ');
  await (await fetch(`${pprof}profile?seconds=1`)).arrayBuffer();
  const done = fetch(`${app}/${way}/${way === 'exec' ? 9000 : 5000}`).then((response) => response.text());
  await sleep(500);
  return { pprof, done };
}

const snapshotsIn = (folder: string): string[] => readdirSync(folder).map((name) => join(folder, name));

it.concurrent.each([
  ['a loop', 'spin', 'javascript', ['cpu', 'memory', 'block', 'stack', 'stalls'], ['goroutine', 'mutex']],
  ['native code', 'exec', 'native', ['runtime', 'stalls'], ['goroutine', 'mutex', 'memory']],
])('POST snapshot in %s is answered with what can be had, once', async (_what, way, kind, there, missing) => {
  const profileDir = newFolder();
  const { pprof, done } = await blocked(way, { profileDir });
  const ask = (): Promise<Response> => fetch(`${pprof}snapshot`, { method: 'POST' });
  const [response, other] = await Promise.all([ask(), ask()]);
  expect([response.status, other.status]).toEqual([201, 201]);
  const snapshot = (await response.json()) as Snapshot;
  expect(await other.json()).toEqual(snapshot);
  expect(snapshot).toMatchObject({ reason: 'http', blocked: { route: `/${way}/:ms` } });
  expect(Object.keys(snapshot.files)).toEqual(expect.arrayContaining(there));
  expect(Object.keys(snapshot.missing)).toEqual(expect.arrayContaining(missing));
  const manifest = JSON.parse(readFileSync(snapshot.manifest, 'utf8')) as Manifest;
  expect([manifest.reason, manifest.blocked]).toEqual(['http', snapshot.blocked]);
  if (kind === 'javascript') {
    const { samples } = readProfile(readFileSync(join(snapshot.directory, 'cpu.prof')));
    expect(samples.some(({ stack }) => stack.some(({ name }) => name === 'spinInScript'))).toBe(true);
  }
  await done;
  // The next one is the main thread's own again, and nothing came in between.
  const after = (await (await ask()).json()) as Snapshot;
  expect([after.blocked, after.missing]).toEqual([undefined, {}]);
  expect(snapshotsIn(profileDir)).toEqual([snapshot.directory, after.directory]);
});

it.concurrent('what takes turns of the loop says so, and not that the loop is in native code', async () => {
  const { pprof, done } = await blocked('atomics', {});
  const response = await fetch(`${pprof}goroutine`);
  expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
  expect(await response.text()).toBe(
    'The event loop is blocked, and what is asked for takes turns of it. Ask again when it returns.\n',
  );
  const { blocked: state } = (await (await fetch(`${pprof}runtime`)).json()) as { blocked: { kind: string } };
  expect(state.kind).toBe('javascript');
  await done;
});

it.concurrent('a hook of the app that cannot be asked has not refused', async () => {
  const { pprof, done } = await blocked('atomics', { access: 'everybody' });
  const answers = await Promise.all(['', 'stalls', 'stack'].map((path) => fetch(pprof + path)));
  for (const answer of answers) {
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await answer.text()).toContain('The event loop is blocked, and access.authorize with it.');
  }
  await done;
  expect((await fetch(pprof)).status).toBe(200);
});
