import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { startService, type Service } from '../support/child.js';
import { fetchProfile } from '../support/fetch.js';
import { describeWith } from '../support/tools.js';

const PROFILES = [
  { name: 'goroutine', types: 'goroutine/count', maker: 'pendingTimers' },
  { name: 'goroutineleak', types: 'goroutineleak/count', maker: 'pendingTimers' },
  { name: 'threadcreate', types: 'threadcreate/count', maker: 'openSockets' },
  { name: 'mutex', types: 'contentions/count delay/nanoseconds', maker: 'waitForLock' },
  { name: 'block', types: 'contentions/count delay/nanoseconds', maker: 'blockLoop' },
];

/** What is new to a client, which is all for one that has not asked before. */
const DELTAS = PROFILES.filter(({ name }) => ['mutex', 'block'].includes(name)).map((profile) => ({
  ...profile,
  name: `delta_${profile.name}`,
}));

describeWith('go', 'go tool pprof on what is pending, waited for and blocked', () => {
  const room = mkdtempSync(join(tmpdir(), 'loopprof-go-'));
  let service: Service;
  let fetches = 0;

  beforeAll(async () => {
    // A busy machine must not add a block of its own meanwhile.
    const config = { asyncSampleRate: 1, leakAgeMs: 1000, stallThresholdMs: 1000, hangThresholdMs: 60_000 };
    service = await startService('pending.cjs', { args: [JSON.stringify(config)] });
    const lines = createInterface({ input: service.child.stdout as NodeJS.ReadableStream });
    const answers = lines[Symbol.asyncIterator]();
    for (const command of ['timers 300', 'forget 3', 'hold 4', 'sockets 5', 'lock 4', 'block 1200']) {
      service.child.stdin?.write(`${command}\n`);
      expect(((await answers.next()) as { value: string }).value).toBe(`did ${command}`);
    }
    // What is going to be collected is collected, so that two fetches find the same.
    await fetchProfile(`${service.url}/goroutineleak?gc=1`);
  });
  afterAll(async () => {
    await service.stop();
    rmSync(room, { recursive: true, force: true });
  });

  function pprof(...args: string[]): Promise<string> {
    const env = { ...process.env, PPROF_TMPDIR: room, PPROF_BINARY_PATH: room, GOTOOLCHAIN: 'local' };
    return new Promise((resolve, reject) => {
      execFile(
        'go',
        ['tool', 'pprof', ...args],
        { env, maxBuffer: 64 * 1024 * 1024 },
        (error, stdout, stderr) => (error ? reject(new Error(stderr)) : resolve(stdout)),
      );
    });
  }

  /** The sums of the values in `-raw`, whose samples are `values: locations`. */
  function totals(raw: string): number[] {
    const rows = raw.matchAll(/^ +(-?\d[\d -]*): [\d ]+$/gm);
    return [...rows]
      .map(([, values]) => (values as string).trim().split(/ +/).map(Number))
      .reduce((sums, values) => values.map((value, index) => value + (sums[index] ?? 0)), []);
  }

  it.each([...PROFILES, ...DELTAS])(
    'reads $name in binary and in text, with equal totals',
    async ({ name, types, maker }) => {
      const ask = (query: string): string => `${service.url}/${name}?client=${++fetches}${query}`;
      const binary = await pprof('-raw', ask(''));
      const text = await pprof('-raw', '-symbolize=none', ask('&debug=1'));
      for (const raw of [binary, text]) expect(raw).toContain(`\n${types}\n`);
      expect(totals(text)).toEqual(totals(binary));
      expect(totals(binary)[0]).toBeGreaterThan(0);
      expect(binary).toContain(` ${maker} `);
    },
  );

  it.each(PROFILES)('cancels with -base what did not change in $name', async ({ name }) => {
    const url = `${service.url}/${name}`;
    const report = await pprof('-top', '-nodecount=0', '-base', url, url);
    const rows = report.split(/^ +flat +flat% .*$/m)[1]?.trim();
    expect(rows).toBe('');
  });

  it('cancels with -base threads that have only grown older', async () => {
    const saved = async (): Promise<string> => {
      const file = join(room, `${(fetches += 1)}.pb.gz`);
      writeFileSync(file, Buffer.from(await (await fetch(`${service.url}/threadcreate`)).arrayBuffer()));
      return file;
    };
    const first = await saved();
    await sleep(1100);
    const raw = await pprof('-raw', '-base', first, await saved());
    expect(totals(raw).filter((total) => total !== 0)).toEqual([]);
    expect(raw.split('Locations')[0]).not.toMatch(/^ +-?[1-9]\d*:/m);
    const text = await (await fetch(`${service.url}/threadcreate?debug=1`)).text();
    expect(text).toMatch(/"age":"\d+ seconds", "started":"\d{4}-[^"]*Z", "thread":/);
  });
});
