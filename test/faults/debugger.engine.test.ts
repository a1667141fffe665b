/** With a debugger attached, and with nothing but the inspector to look into a blocked loop. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fetchProfile } from '../support/fetch.js';
import { runToEnd, startService } from '../support/child.js';
import { cumulativeOf } from '../support/profile.js';

const CPU = 1;
const hasWebSocket = Number(process.versions.node.split('.')[0]) >= 22;

it.concurrent.each(['datadog', 'inspector'])(
  'a debugger profiles, pauses and resumes, and we go on, with the engine %s',
  async (engine) => {
    const service = await startService('burn.cjs', {
      args: [JSON.stringify({ engine, scale: 0.2, restMs: 60 })],
      nodeArgs: ['--inspect=127.0.0.1:0'],
    });
    try {
      const url = /ws:\/\/\S+/.exec(service.stderr())?.[0] as string;
      const across = fetchProfile(`${service.url}/profile?seconds=2`);
      const { code, stdout, stderr } = await runToEnd('debugger.mjs', {
        args: [url],
        nodeArgs: hasWebSocket ? [] : ['--experimental-websocket'],
      });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(JSON.parse(stdout)).toEqual({ profiled: true, paused: true, evaluated: 42 });
      expect(cumulativeOf(await across, 'sixtyPercent', CPU)).toBeGreaterThan(0);
      const after = await fetchProfile(`${service.url}/profile?seconds=1`);
      expect(cumulativeOf(after, 'sixtyPercent', CPU)).toBeGreaterThan(0);
      expect(service.child.exitCode).toBeNull();
    } finally {
      await service.stop();
    }
  },
);

it.concurrent('a breakpoint is neither a hang nor a stall, what spins under a debugger is one', async () => {
  const profileDir = mkdtempSync(join(tmpdir(), 'loopprof-breakpoint-'));
  const service = await startService('spinning.cjs', {
    nodeArgs: ['--inspect=127.0.0.1:0'],
    env: { HANG_THRESHOLD_MS: '1000', PROFILE_DIR: profileDir },
  });
  const hangs = (): number => service.stderr().split('"loopprof.hang"').length - 1;
  try {
    const url = /ws:\/\/\S+/.exec(service.stderr())?.[0] as string;
    const { stdout } = await runToEnd('debugger.mjs', {
      args: [url, '3000'],
      nodeArgs: hasWebSocket ? [] : ['--experimental-websocket'],
    });
    expect(JSON.parse(stdout)).toMatchObject({ paused: true, evaluated: 42 });
    expect({ hangs: hangs(), files: readdirSync(profileDir) }).toEqual({ hangs: 0, files: [] });
    const { stalls } = (await (await fetch(`${service.url}/stalls`)).json()) as {
      stalls: { durationMs: number }[];
    };
    expect(stalls.filter(({ durationMs }) => durationMs > 2000)).toEqual([]);
    service.child.stdin?.write('spin\n');
    for (let waited = 0; hangs() === 0 && waited < 8000; waited += 100) await sleep(100);
    expect(hangs()).toBe(1);
  } finally {
    await service.stop();
    rmSync(profileDir, { recursive: true });
  }
});

it.concurrent('nobody is stopped in what the sidecar does inside a blocked loop', async () => {
  const door = require.resolve('@loopprof/core').replace(/index\.js$/, 'sidecar/door.js');
  const line = readFileSync(door, 'utf8')
    .split('\n')
    .findIndex((text) => text.includes('this.#pulse.enter()'));
  const service = await startService('spinning.cjs', { nodeArgs: ['--inspect=127.0.0.1:0'] });
  const url = /ws:\/\/\S+/.exec(service.stderr())?.[0] as string;
  const breaker = await startService('breaks-in.mjs', {
    args: [url, 'sidecar/door\\.js', String(line)],
    nodeArgs: hasWebSocket ? [] : ['--experimental-websocket'],
  });
  try {
    expect(breaker.line).toBe('set 1');
    let stops = 0;
    breaker.child.stdout?.on('data', (chunk) => (stops += String(chunk).split('stopped').length - 1));
    service.child.stdin?.write('spin\n');
    await sleep(1000);
    const { stack } = (await (await fetch(`${service.url}/stack`)).json()) as { stack: object[] };
    expect(JSON.stringify(stack)).toContain('spin');
    await sleep(500);
    expect(stops).toBe(0);
  } finally {
    await breaker.stop();
    await service.stop();
  }
});

it.concurrent('the inspector engine answers while the event loop is blocked', async () => {
  const service = await startService('spinning.cjs', { env: { ENGINE: 'inspector' } });
  try {
    let spun = false;
    service.child.stdout?.on('data', (chunk) => (spun ||= String(chunk).includes('spun')));
    service.child.stdin?.write('spin\n');
    // The window lies in the spin; whoever gets it before the end has been answered from inside.
    await sleep(1500);
    const profile = await fetchProfile(`${service.url}/profile?from=now-1s`);
    expect(cumulativeOf(profile, 'spin', CPU) / 1e6).toBeGreaterThan(500);
    expect(spun).toBe(false);
  } finally {
    await service.stop();
  }
});
