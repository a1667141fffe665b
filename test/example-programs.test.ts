/** The examples that write files, as a user starts them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Manifest } from '@loopprof/core';
import { runToEnd, startService, type Exit } from './support/child.js';
import { newFolder } from './support/folder.js';
import { GoPprof } from './support/go-pprof.js';
import { cumulativeOf, readProfile, totalOf, type ReadProfile } from './support/profile.js';
import { describeWith } from './support/tools.js';

const EXAMPLES = resolve(__dirname, '../examples');

const CPU = 1;

const profileIn = (path: string): ReadProfile => readProfile(readFileSync(path));
/** Of what the program's own code has used: how much V8's other threads take besides is a matter of the machine. */
function shareOf(profile: ReadProfile, functionName: string): number {
  const own = { ...profile, samples: profile.samples.filter(({ stack }) => !stack[0]?.name.startsWith('(')) };
  return cumulativeOf(own, functionName, CPU) / totalOf(own, CPU);
}

/** The snapshot taken for that reason, as soon as it is there. */
async function snapshotIn(profileDir: string, reason: string): Promise<string> {
  for (let attempt = 0; attempt < 500; attempt++) {
    const found = readdirSync(profileDir).find((name) => name.includes(`Z-${reason}-`));
    if (found !== undefined) return join(profileDir, found);
    await sleep(20);
  }
  throw new Error(`no snapshot for ${reason} in ${readdirSync(profileDir).join(', ')}`);
}

describe('the program that profiles itself', () => {
  const cwd = newFolder();
  const profileDir = join(cwd, 'profiles');
  let exit: Exit;

  beforeAll(async () => {
    exit = await runToEnd(join(EXAMPLES, 'profiler/dist/main.js'), {
      cwd,
      env: { HTTP_ADDR: 'localhost:0' },
    });
  });

  it('ends well, and its files show its work', async () => {
    const { code, stderr, stdout } = exit;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });

    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.filter(({ level }) => level !== 30)).toEqual([]);
    const line = (msg: string) => lines.find((each) => each.msg === msg) ?? {};
    expect(line('profiling')).toMatchObject({
      address: expect.stringMatching(/^http:.*\/debug\/pprof\/$/) as string,
    });
    expect(line('metrics')).toMatchObject({ alloc: expect.any(Number) as number, eventLoopDelay: {} });

    const paths = [
      join(profileDir, 'cpu.prof'),
      line('snapshot files')['cpu'],
      line('CPU profile')['path'],
      line('all profiles')['cpu'],
    ];
    for (const path of paths) expect(shareOf(profileIn(path as string), 'neighboursOf')).toBeGreaterThan(0.3);
    expect(profileIn(join(profileDir, 'mem.prof')).sampleTypes).toContain('inuse_space/bytes');
    const manifest = join(await snapshotIn(profileDir, 'manual'), 'manifest.json');
    expect(JSON.parse(readFileSync(manifest, 'utf8'))).toMatchObject({ reason: 'manual' });
  });

  describeWith('go', 'go tool pprof on what stop() wrote', () => {
    const pprof = new GoPprof();
    afterAll(() => pprof.close());

    it.each([
      ['cpu.prof', 'cpu', 'neighboursOf'],
      ['mem.prof', 'inuse_space', ''],
      ['block.prof', 'delay', ''],
      ['mutex.prof', 'delay', ''],
      ['goroutine.prof', 'goroutine', ''],
    ])('-top %s', async (file, type, functionName) => {
      const { stdout } = await pprof.clean('-top', join(profileDir, file));
      expect(stdout).toMatch(new RegExp(`^Type: ${type}$`, 'm'));
      expect(stdout).toContain('flat%');
      expect(stdout).toContain(functionName);
    });
  });
});

it('the service with triggers takes a snapshot of a stall, and one on a signal', async () => {
  const cwd = newFolder();
  const service = await startService(join(EXAMPLES, 'triggers/src/server.js'), {
    cwd,
    env: { PORT: '0', NODE_ENV: 'development' },
  });
  try {
    const get = async (path: string) => (await fetch(service.url + path)).json();
    expect(await get('/visits/ada')).toEqual({ visits: 1 });
    expect(await get('/square/12')).toEqual({ square: '144' });
    expect(await get('/primes/3000000')).toEqual({ primes: 216_816 });

    const profileDir = join(cwd, 'profiles');
    for (let attempt = 0; attempt < 500 && !readdirSync(cwd).includes('profiles'); attempt++) await sleep(20);
    const stall = await snapshotIn(profileDir, 'stall');
    expect(shareOf(profileIn(join(stall, 'cpu.prof')), 'countPrimes')).toBeGreaterThan(0.5);
    const { triggers } = JSON.parse(readFileSync(join(stall, 'manifest.json'), 'utf8')) as Manifest;
    expect(triggers).toMatchObject([{ on: 'stall', values: { longerThanMs: 250, route: '/primes/:below' } }]);
    expect(triggers[0]?.values['durationMs']).toBeGreaterThan(250);

    service.child.kill('SIGUSR2');
    await snapshotIn(profileDir, 'signal');
    expect(await get('/visits/ada')).toEqual({ visits: 2 });
  } finally {
    await service.stop();
  }
});
