/** What is answered while the event loop of the process is blocked: that is when somebody asks. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startService, type Service } from '../support/child.js';
import { newFolder } from '../support/folder.js';
import { readProfile, type ReadProfile } from '../support/profile.js';

const CPU = 1;
const SPIN_MS = 4000;
const LEAST_MS = 3000;

/** Looks at the state and finds the route by itself: the label needs Node 24, or `labels: true`. */
const LABELS_COST_NOTHING = Number(process.versions.node.split('.')[0]) >= 24;

interface Blocked {
  kind: string;
  since: string;
  forMs: number;
  method?: string;
  route?: string;
}

interface Stall {
  startedAt: string;
  durationMs: number;
  cause: string;
  method: string;
  route: string;
  waitingRequests: number;
  runDelayMs: number | null;
  stacks: { durationMs: number; frames: string[] }[];
}

interface Answer {
  /** Milliseconds since the epoch. */
  answeredAtMs: number;
  status: number;
  headers: Headers;
  firstByteMs: number;
  bytes: Uint8Array;
}

async function ask(url: string): Promise<Answer> {
  const askedAt = performance.now();
  const response = await fetch(url, { signal: AbortSignal.timeout(20_000) });
  const firstByteMs = performance.now() - askedAt;
  const { status, headers } = response;
  const bytes = new Uint8Array(await response.arrayBuffer());
  return { status, headers, firstByteMs, bytes, answeredAtMs: Date.now() };
}

const textOf = ({ bytes }: Answer): string => Buffer.from(bytes).toString();
const jsonOf = <T>(answer: Answer): T => JSON.parse(textOf(answer)) as T;

/** A machine that has no core for the process is the cause then, whatever the process would have done with it. */
const machineHeldIt = ({ cause, runDelayMs, durationMs }: Stall): boolean =>
  cause === 'host' && (runDelayMs ?? 0) > 0.25 * durationMs;

/** To be asked when the stall is known: who asks right after it counts as having waited. */
async function expectLength({ durationMs }: Stall, app: string): Promise<void> {
  const { lastedMs } = jsonOf<{ lastedMs: number }>(await ask(`${app}/lasted`));
  expect(Math.abs(durationMs - lastedMs)).toBeLessThan(0.02 * lastedMs);
}

let service: Service | undefined;
afterEach(() => service?.stop());

async function start(config: object = {}): Promise<{ pprof: string; app: string }> {
  service = await startService('blocks.cjs', {
    args: [JSON.stringify(config)],
    nodeArgs: ['--max-old-space-size=3000'],
  });
  const [pprof = '', app = ''] = service.line.split(' ');
  // The code of the first request is compiled by then, and the sidecar knows the process.
  await (await fetch(`${app}/quick`)).text();
  await (await fetch(`${pprof}profile?seconds=1`)).arrayBuffer();
  return { pprof, app };
}

/** Blocks the loop by that route, and gives a moment in which it is certainly blocked. */
async function block(url: string, pprof: string): Promise<{ done: Promise<string> }> {
  const done = fetch(url).then((response) => response.text());
  done.catch(() => {});
  await sleep(400);
  // A busy machine may not have come to it yet.
  for (let attempt = 0; attempt < 10; attempt++) {
    if (jsonOf<{ blocked: Blocked | null }>(await ask(`${pprof}runtime`)).blocked) break;
    await sleep(50);
  }
  return { done };
}

/** The stall of that route, and all others of it: a busy machine may have stalled what came after it as well. */
async function stallsOf(pprof: string, route: string): Promise<[Stall, ...Stall[]]> {
  // A process that has little of a core takes its time to tell.
  for (let attempt = 0; ; attempt++) {
    const { blocked, stalls } = jsonOf<{ blocked: null; stalls: Stall[] }>(await ask(`${pprof}stalls`));
    const found = stalls.filter((stall) => stall.route === route).sort((a, b) => b.durationMs - a.durationMs);
    if (found.length === 0 && attempt < 20) {
      await sleep(100);
      continue;
    }
    expect(blocked).toBeNull();
    if (found.length === 0) expect(stalls).toContainEqual({ route });
    return found as [Stall];
  }
}

/** Share of the CPU, without the collector's and other threads', that has this function on its stack. */
function shareOf(profile: ReadProfile, functionName: string): number {
  const own = profile.samples.filter(({ stack }) => !stack[0]?.name.startsWith('('));
  const cpu = (samples: typeof own): number =>
    samples.reduce((sum, { values }) => sum + (values[CPU] ?? 0), 0);
  return cpu(own.filter(({ stack }) => stack.some(({ name }) => name === functionName))) / cpu(own);
}

describe('while JavaScript blocks the event loop', () => {
  it.each([
    ['a loop', 'spin', 'spinInScript', 'javascript'],
    ['a backtracking regular expression', 'regexp', 'backtrack', 'javascript'],
    ['Atomics.wait', 'atomics', 'waitForNobody', 'sync-io'],
  ])('%s: everything answers, and the stall is known afterwards', async (_what, way, functionName, cause) => {
    const { pprof, app } = await start({ labels: true });
    const enough = join(newFolder(), 'enough');
    const blockedAt = performance.now();
    const blockMs = way === 'spin' ? `20000?until=${enough}` : SPIN_MS;
    const { done } = await block(`${app}/${way}/${blockMs}`, pprof);
    const waiting = Array.from({ length: 3 }, () => fetch(`${app}/quick`).then((each) => each.text()));
    const paths = ['', 'profile?seconds=1', 'block', 'stalls', 'stack', 'heap', 'runtime'];
    const answers = await Promise.all(paths.map((path) => ask(pprof + path)));
    // Long enough to be measured, and without a core that it needs no more.
    await sleep(LEAST_MS - (performance.now() - blockedAt));
    writeFileSync(enough, '');
    const [index, cpu, , stalls, stack, , runtime] = answers as [
      Answer,
      Answer,
      Answer,
      Answer,
      Answer,
      Answer,
      Answer,
    ];

    expect(answers.map(({ status }, at) => [paths[at], status])).toEqual(paths.map((path) => [path, 200]));
    expect(textOf(index)).toMatch(/blocked for \d+ ms \(blocked: javascript\)/);
    const blocked = { kind: 'javascript', method: 'GET', route: `/${way}/:ms` };
    for (const answer of [stalls, stack, runtime])
      expect(jsonOf<{ blocked: Blocked }>(answer).blocked).toMatchObject(blocked);
    const frames = jsonOf<{ stack: { name: string; file: string }[] }>(stack).stack.map(({ name }) => name);
    expect(frames).toContain(functionName);
    expect(frames.some((name) => name.includes('mainGlobal'))).toBe(false);
    const profile = readProfile(cpu.bytes);
    if (cause === 'javascript') {
      expect(shareOf(profile, functionName)).toBeGreaterThanOrEqual(0.95);
      const labelled = profile.samples.filter(({ stack: each }) =>
        each.some(({ name }) => name === functionName),
      );
      expect(labelled.length).toBeGreaterThan(0);
      expect(new Set(labelled.map(({ labels }) => labels['route']))).toEqual(new Set([`/${way}/:ms`]));
    }

    await done;
    expect(await Promise.all(waiting)).toEqual(['quick', 'quick', 'quick']);
    const ofRoute = await stallsOf(pprof, `/${way}/:ms`);
    const [stall] = ofRoute;
    expect(stall).toMatchObject({ method: 'GET', waitingRequests: 3 });
    if (!machineHeldIt(stall)) expect(stall.cause).toBe(cause);
    await expectLength(stall, app);
    expect(stall.stacks[0]?.frames.some((frame) => frame.startsWith(functionName))).toBe(true);

    const blockProfile = readProfile((await ask(`${pprof}block`)).bytes);
    const rows = blockProfile.samples.filter(({ labels }) => labels['route'] === `/${way}/:ms`);
    expect(blockProfile.sampleTypes).toEqual(['contentions/count', 'delay/nanoseconds']);
    expect(rows.reduce((sum, { values }) => sum + (values[0] ?? 0), 0)).toBe(ofRoute.length);
    const delayMs = rows.reduce((sum, { values }) => sum + (values[1] ?? 0), 0) / 1e6;
    const stalledMs = ofRoute.reduce((sum, each) => sum + each.durationMs, 0);
    expect(Math.abs(delayMs - stalledMs)).toBeLessThan(0.01 * stalledMs + 1);
    expect(new Set(rows.map(({ labels }) => labels['cause']))).toEqual(
      new Set(ofRoute.map((each) => each.cause)),
    );
  });

  it('the first byte comes within 250 ms, with the route that was reached last where there is no label', async () => {
    const profileDir = mkdtempSync(join(tmpdir(), 'loopprof-hang-'));
    const [oldReport, oldSnapshot] = ['20200101T000000.000Z-hang-1.json', '20200101T000000.000Z-manual-1'];
    writeFileSync(join(profileDir, oldReport), '{}');
    mkdirSync(join(profileDir, oldSnapshot));
    const { pprof, app } = await start({ hangThresholdMs: 500, profileDir });
    const enough = join(newFolder(), 'enough');
    const { done } = await block(`${app}/spin/10000?until=${enough}`, pprof);
    const times: number[] = [];
    for (let n = 0; n < 8; n++) times.push((await ask(pprof)).firstByteMs);
    // On a busy machine one may have waited for a core; most never do.
    expect(times.filter((ms) => ms <= 250).length).toBeGreaterThanOrEqual(6);
    await sleep(800);
    const { blocked } = jsonOf<{ blocked: Blocked }>(await ask(`${pprof}runtime`));
    expect(blocked).toMatchObject({ kind: 'javascript', route: '/spin/:ms' });
    writeFileSync(enough, '');
    await done;
    const line = (service as Service).stderr().trim();
    expect(JSON.parse(line)).toMatchObject({
      event: 'loopprof.hang',
      kind: 'javascript',
      method: 'GET',
      route: '/spin/:ms',
      file: expect.stringContaining(profileDir) as string,
    });
    expect(line).toContain('spinInScript');
    // Reports make room for each other, not for snapshots.
    const [file = ''] = readdirSync(profileDir).filter((name) => name !== oldSnapshot);
    expect(readdirSync(profileDir)).toEqual([oldSnapshot, file]);
    expect(file).toMatch(/^20\d{6}T\d{6}\.\d{3}Z-hang-\d+\.json$/);
    expect(statSync(join(profileDir, file)).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(profileDir, file), 'utf8')).toContain('spinInScript');
    rmSync(profileDir, { recursive: true });
    if (LABELS_COST_NOTHING) {
      const profile = readProfile((await ask(`${pprof}profile?from=now-4s&to=now`)).bytes);
      const spun = profile.samples.filter(({ stack }) => stack.some(({ name }) => name === 'spinInScript'));
      expect(new Set(spun.map(({ labels }) => labels['route']))).toEqual(new Set(['/spin/:ms']));
    }
  });
});

describe('while native code blocks the event loop', () => {
  it.each([
    // So many objects may take the collector longer than the parser.
    ['JSON.parse of 200 MB', 'json', 'parseMuch', ['javascript', 'gc']],
    ['pbkdf2Sync', 'pbkdf2', 'deriveKeys', ['javascript']],
    ['readFileSync of a slow pipe', 'fifo', 'readSlowPipe', ['sync-io']],
    ['execFileSync', 'exec', 'runCommand', ['sync-io']],
  ])(
    '%s: what can be said is said, and the stall is known in full afterwards',
    async (_what, way, functionName, causes) => {
      const { pprof, app } = await start();
      const { done } = await block(`${app}/${way}/4000`, pprof);
      const [index, stalls, runtime] = await Promise.all(
        ['', 'stalls', 'runtime'].map((path) => ask(pprof + path)),
      );
      const [stack, heap, cpu] = await Promise.all(
        ['stack', 'heap', 'profile?seconds=1'].map((path) => ask(pprof + path)),
      );
      expect([index?.status, stalls?.status, runtime?.status]).toEqual([200, 200, 200]);
      await done;
      const [stall] = await stallsOf(pprof, `/${way}/:ms`);
      // How long a machine takes is not known: what is answered after the block is answered as always.
      const endedAtMs = Date.parse(stall.startedAt) + stall.durationMs;
      const meanwhile = (answer: Answer): boolean => answer.answeredAtMs < endedAtMs - 20;
      const expected = { kind: 'native', method: 'GET', route: `/${way}/:ms` };
      if (meanwhile(index as Answer)) expect(textOf(index as Answer)).toMatch(/blocked: native/);
      for (const answer of [stalls, runtime] as Answer[])
        if (meanwhile(answer)) expect(jsonOf<{ blocked: Blocked }>(answer).blocked).toMatchObject(expected);
      for (const answer of [stack, heap, cpu] as Answer[]) {
        // When native code returns, who has knocked is let in before the route goes on. And a parse of that size stops for the
        // collector, which lets somebody in as well.
        const isLetIn = way === 'json' || answer.answeredAtMs > endedAtMs - 500;
        if (!meanwhile(answer) || (answer.status === 200 && isLetIn)) continue;
        expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
        expect(textOf(answer)).toContain('blocked in native code');
      }

      if (!machineHeldIt(stall)) expect(causes).toContain(stall.cause);
      await expectLength(stall, app);
      expect(stall.stacks.some(({ frames }) => frames.some((frame) => frame.startsWith(functionName)))).toBe(
        true,
      );
      const profile = readProfile((await ask(`${pprof}profile?from=now-8s&to=now`)).bytes);
      // The window reaches back to what the process did before.
      if (causes.includes('javascript')) expect(shareOf(profile, functionName)).toBeGreaterThan(0.6);
    },
  );
});
