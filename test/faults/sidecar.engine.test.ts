/** A sidecar in trouble, or in places where there can be none: the app goes on as if nothing were, and one line says what is. */
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request, type IncomingMessage } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PROGRAMS, runToEnd, startService, type Service } from '../support/child.js';
import { newFolder } from '../support/folder.js';
import { readProfile } from '../support/profile.js';

interface Logged {
  logged: string[];
  started: number;
  address?: string;
}

/** Those that a test has not come to stop. */
const services: Service[] = [];
afterAll(() => Promise.all(services.map((each) => each.stop())));

/** Asks until the answer is as wanted; a replacement takes its time. */
async function until<T>(ask: () => Promise<T>, isWanted: (answer: T) => boolean): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    const answer = await ask();
    if (isWanted(answer) || attempt === 300) return answer;
    await sleep(100);
  }
}

const statusOf = (url: string): Promise<number> =>
  fetch(url).then(
    async (response) => {
      await response.arrayBuffer();
      return response.status;
    },
    () => 0,
  );

// Beside each other, and first those that wait for a quarter of a minute.
describe('a sidecar is replaced', () => {
  const TOKEN = 'correct-horse-battery-staple';
  // Tests that run beside each other do not wait for beforeAll().
  const room = mkdtempSync(join(tmpdir(), 'loopprof-replaced-'));
  afterAll(() => rmSync(room, { recursive: true, force: true }));

  async function start(config: object): Promise<{
    app: string;
    told: () => Promise<Logged>;
    end: () => Promise<void>;
  }> {
    const service = await startService('sidecar-faults.cjs', { args: [JSON.stringify(config)] });
    services.push(service);
    const [app = ''] = service.line.split(' ');
    const told = async (): Promise<Logged> => (await (await fetch(`${app}/logged`)).json()) as Logged;
    const end = async (): Promise<void> => {
      const exit = once(service.child, 'exit');
      service.child.stdin?.write('end\n');
      expect([await exit, service.stderr()]).toEqual([[0, null], '']);
    };
    return { app, told, end };
  }

  const replaced = async (app: string, told: () => Promise<Logged>): Promise<void> => {
    await (await fetch(`${app}/sidecar/terminate`)).text();
    await until(told, ({ started }) => started === 2);
  };

  const statusAt = (where: object): Promise<number> =>
    new Promise((resolve) => {
      const headers = { authorization: `Bearer ${TOKEN}` };
      request({ ...where, path: '/debug/pprof/', headers, agent: false })
        .once('response', (response: IncomingMessage) => {
          response.resume();
          resolve(response.statusCode as number);
        })
        .once('error', () => resolve(0))
        .end();
    });
  const isThere = (where: object): Promise<number> =>
    until(
      () => statusAt(where),
      (status) => status === 200,
    );

  it.concurrent('and its server is told to be gone where somebody else has taken its place', async () => {
    const path = join(room, 'taken.sock');
    const { app, told, end } = await start({ httpAddr: `unix:${path}` });
    rmSync(path);
    writeFileSync(path, 'no socket');
    await replaced(app, told);
    const { logged, address } = await until(told, (each) => each.address === undefined);
    expect(logged).toEqual([
      expect.stringMatching(/^warn: .*the sidecar is replaced/),
      expect.stringMatching(/^warn: .*the standalone server is gone: .*is not a socket/),
    ]);
    expect(address).toBeUndefined();
    expect(await (await fetch(`${app}/debug/pprof/`)).text()).toMatch(
      /Degraded: The standalone server cannot listen .*is not a socket/,
    );
    await end();
    expect(readFileSync(path, 'utf8')).toBe('no socket');
  });

  it.concurrent('and its server is there again on its Unix socket', async () => {
    const path = join(room, 'again.sock');
    const { app, told, end } = await start({ httpAddr: `unix:${path}` });
    await replaced(app, told);
    expect(await isThere({ socketPath: path })).toBe(200);
    expect((await told()).address).toBe(`unix:${path}`);
    await end();
    expect(existsSync(path)).toBe(false);
  });

  it.concurrent(
    'and its server is there again on all interfaces, by the port that it had been given',
    async () => {
      const { app, told, end } = await start({ httpAddr: ':0', access: { token: TOKEN } });
      const { address } = await told();
      await replaced(app, told);
      const { port } = new URL(address as string);
      // The whole of 127/8 is this machine's; a server on 127.0.0.1 alone does not answer there.
      const host = process.platform === 'linux' ? '127.0.0.2' : '::1';
      expect(await isThere({ host, port })).toBe(200);
      expect((await told()).address).toBe(address);
      await end();
    },
  );

  it.concurrent.each([
    // Ten seconds of a core are enough on one Node.
    ['is stuck', process.version.startsWith('v20.') ? 'spin' : 'wait', /it has not moved for 10 s/],
    ['is ended', 'terminate', /it ended with code 1/],
    ['ends by itself', 'exit', /it ended with code 9/],
    ['throws', 'throw', /out of luck in the sidecar/],
    ['runs out of memory', 'fill', /memory/],
  ])('and the app does not notice, when it %s', async (_what, how, reason) => {
    const service = await startService('sidecar-faults.cjs');
    services.push(service);
    const [app = '', pprof = ''] = service.line.split(' ');
    const told = async (): Promise<Logged> => (await (await fetch(`${app}/logged`)).json()) as Logged;
    expect(await statusOf(pprof)).toBe(200);
    await (await fetch(`${app}/sidecar/${how}`)).text();

    const { logged } = await until(told, (each) => each.logged.length > 0);
    expect(logged).toEqual([expect.stringMatching(/^warn: .*the sidecar is replaced in 0\.5 s: /)]);
    expect(logged[0]).toMatch(reason);
    expect(await (await fetch(app)).text()).toBe('the app');
    expect((await until(told, ({ started }) => started === 2)).started).toBe(2);
    // The replacement serves the same address, with what was sampled before.
    expect(
      await until(
        () => statusOf(pprof),
        (status) => status === 200,
      ),
    ).toBe(200);
    const response = await fetch(`${pprof}profile?seconds=1`);
    expect(response.status).toBe(200);
    readProfile(new Uint8Array(await response.arrayBuffer()));
    expect((await told()).logged).toHaveLength(1);

    // The next one has to wait longer.
    if (how === 'exit') {
      await (await fetch(`${app}/sidecar/${how}`)).text();
      const again = await until(told, (each) => each.logged.length > 1);
      expect(again.logged[1]).toContain('is replaced in 1 s');
    }

    const exit = once(service.child, 'exit');
    service.child.stdin?.write('end\n');
    expect([await exit, service.stderr()]).toEqual([[0, null], '']);
  });
});

it.concurrent('while it is away a wait is not taken for a machine that stood still', async () => {
  const service = await startService('sidecar-faults.cjs');
  services.push(service);
  const [app = '', pprof = ''] = service.line.split(' ');
  const told = async (): Promise<Logged> => (await (await fetch(`${app}/logged`)).json()) as Logged;
  await (await fetch(`${app}/sidecar/exit`)).text();
  await until(told, ({ logged }) => logged.length > 0);
  await (await fetch(`${app}/waits`)).text();
  await until(
    () => statusOf(pprof),
    (status) => status === 200,
  );
  type Stalls = { stalls: { cause: string; runDelayMs: number; stacks: { frames: string[] }[] }[] };
  const waits = async (): Promise<Stalls['stalls']> =>
    ((await (await fetch(`${pprof}stalls`)).json()) as Stalls).stalls.filter(({ stacks }) =>
      stacks.some(({ frames }) => frames.some((frame) => frame.startsWith('waitForNobody'))),
    );
  const [stall] = await until(waits, (found) => found.length > 0);
  if ((stall?.runDelayMs ?? 0) < 100) expect(stall?.cause).toBe('sync-io');
  const exit = once(service.child, 'exit');
  service.child.stdin?.write('end\n');
  expect([await exit, service.stderr()]).toEqual([[0, null], '']);
});

it.concurrent('stop() beside a sidecar that is stuck has its files all the same', async () => {
  const profileDir = newFolder();
  const service = await startService('sidecar-faults.cjs', { args: [JSON.stringify({ profileDir })] });
  services.push(service);
  const [app = '', pprof = ''] = service.line.split(' ');
  expect(await statusOf(pprof)).toBe(200);
  await (await fetch(`${app}/sidecar/wait`)).text();
  const exit = once(service.child, 'exit');
  service.child.stdin?.write('end\n');
  expect([await exit, service.stderr()]).toEqual([[0, null], '']);
  const names = ['block.prof', 'cpu.prof', 'goroutine.prof', 'mem.prof', 'mutex.prof'];
  expect(readdirSync(profileDir).sort()).toEqual(names);
  for (const name of names) readProfile(readFileSync(join(profileDir, name)));
});

describe('an address that is taken', () => {
  it.concurrent('is waited for: whoever holds it may go soon, as in a rolling restart', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const httpAddr = `localhost:${(holder.address() as AddressInfo).port}`;
    const service = await startService('sidecar-faults.cjs', { args: [JSON.stringify({ httpAddr })] });
    services.push(service);
    const [app = ''] = service.line.split(' ');
    const told = async (): Promise<Logged> => (await (await fetch(`${app}/logged`)).json()) as Logged;
    const { logged, address } = await told();
    expect([logged, address]).toEqual([[expect.stringMatching(/EADDRINUSE.*takes its place/)], undefined]);
    holder.close();
    const listening = await until(told, (each) => each.address !== undefined);
    expect(await statusOf(listening.address as string)).toBe(200);
    expect(listening.logged).toEqual(logged);
    expect(await (await fetch(`${app}/debug/pprof/`)).text()).not.toContain('Degraded');
    const exit = once(service.child, 'exit');
    service.child.stdin?.write('end\n');
    expect([await exit, service.stderr()]).toEqual([[0, null], '']);
  });

  it('by another worker of the cluster: one of them serves, the other says where to look, both apps live', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const address = `localhost:${(holder.address() as AddressInfo).port}`;
    holder.close();
    await once(holder, 'close');
    const { code, stdout, stderr } = await runToEnd('taken.cjs', { args: [address] });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const told = JSON.parse(stdout) as { logged: string[]; app: string; address: string | null }[];
    expect(told.map(({ app }) => app)).toEqual(['the app', 'the app']);
    expect(told.map((each) => each.address !== null).sort()).toEqual([false, true]);
    const lines = told.flatMap(({ logged }) => logged);
    expect(lines).toEqual([expect.stringMatching(/^error: .*httpAddr '.*': .*EADDRINUSE.*another worker/)]);
  });
});

it.concurrent('in a worker thread of the app there is no sidecar and no server, and it says so', async () => {
  const { code, stdout, stderr } = await runToEnd('in-worker-thread.cjs');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const { logged, statuses, address } = JSON.parse(stdout) as {
    logged: string[];
    statuses: Record<string, number>;
    address: string | null;
  };
  expect(address).toBeNull();
  expect(logged.join('\n')).toMatch(/worker thread/);
  expect(statuses).toEqual({
    '': 200,
    'profile?seconds=1': 200,
    heap: 200,
    runtime: 200,
    stalls: 200,
    stack: 200,
  });
});

it.concurrent.each([
  ['--require', { nodeArgs: ['--require', join(PROGRAMS, 'preloaded.cjs')] }],
  ['--import', { nodeArgs: ['--import', join(PROGRAMS, 'preloaded.cjs')] }],
  ['NODE_OPTIONS', { env: { NODE_OPTIONS: `--require ${join(PROGRAMS, 'preloaded.cjs')}` } }],
])('what the app preloads by %s runs once', async (_way, options) => {
  const { code, stdout, stderr } = await runToEnd('lives.cjs', {
    ...options,
    args: [JSON.stringify({ profiled: true, until: 'timer', ending: 'on its own' })],
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout.match(/^preloaded in thread \d+$/gm)).toEqual(['preloaded in thread 0']);
});
