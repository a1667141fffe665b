/**
 * Stalls of known length in known functions under known routes, while other requests come and go: what is reported of them is
 * compared with what they were. LOOPPROF_STALLS=500 takes more of them.
 */
import { execFileSync, type ChildProcess } from 'node:child_process';
import { Agent, get } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fetchProfile } from '../support/fetch.js';
import { runToEnd, startService, type Service } from '../support/child.js';
import { newFolder } from '../support/folder.js';

interface Known {
  route: string;
  functionName: string;
  startedMs: number;
  durationMs: number;
  /** How long others had the core right before and after, where the program's clock and the profiler's may differ by that. */
  heldAroundMs: number;
}

interface Stall {
  startedAt: string;
  durationMs: number;
  cause: string;
  route: string;
  waitingRequests: number;
  gcMs: number;
  cpuMs: number | null;
  runDelayMs: number | null;
  stacks: { durationMs: number; frames: string[] }[];
}

interface Stalls {
  count: number;
  backlog: { count: number; totalMs: number };
  stalls: Stall[];
}

const ON_OLDEST_NODE = process.version.startsWith('v20.');
/** All of them on the oldest Node, where least is known of what runs; fewer on the others. */
const COUNT = Number(process.env['LOOPPROF_STALLS'] ?? (ON_OLDEST_NODE ? 120 : 40));
const RUNS = [
  { engine: 'datadog', count: COUNT, longOnes: 5 },
  { engine: 'inspector', count: Number(process.env['LOOPPROF_STALLS'] ?? 20), longOnes: 2 },
];
const ENGINES = RUNS.map(({ engine }) => engine);
/** What takes long is tried once where the engine is no other on other Nodes. */
const ENGINES_OF_THIS_NODE = ON_OLDEST_NODE ? ENGINES : ['datadog'];
const THRESHOLD_MS = 50;
const FUNCTIONS = {
  report: 'renderReport',
  orders: 'sortOrders',
  rules: 'checkRules',
  parts: 'writeInParts',
};
const ROUTES = Object.keys(FUNCTIONS);
/** Stall after a timer: whose that is only labels tell. The others do in the turn in which their request began. */
const NEED_LABELS = ['orders'];

let services: Service[] = [];
const agent = new Agent({ keepAlive: true, maxSockets: 8 });
async function stopAll(): Promise<void> {
  await Promise.all(services.map((service) => service.stop()));
  services = [];
}
afterEach(stopAll);
// Those of tests beside each other.
afterAll(stopAll);
afterAll(() => agent.destroy());

async function start(
  program: string,
  config: object = {},
): Promise<{ pprof: string; app: string; child: ChildProcess }> {
  const service = await startService(program, { args: [JSON.stringify(config)] });
  services.push(service);
  const [pprof = '', app = ''] = service.line.split(' ');
  return { pprof, app, child: service.child };
}

function ask(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { agent, timeout: 20_000 }, (response) => {
      let text = '';
      response.on('data', (chunk) => (text += String(chunk)));
      response.once('end', () => resolve(text));
    })
      .once('timeout', () => reject(new Error(`${url}: no answer`)))
      .once('error', reject);
  });
}

/** Each client asks again some time after its answer, by as little of HTTP as will do: the cores are for the server. */
function askAgainAndAgain(url: string, { clients, pauseMs }: { clients: number; pauseMs: () => number }) {
  const { port, pathname } = new URL(url);
  let answers = 0;
  const sockets = Array.from({ length: clients }, () => {
    const socket = connect(Number(port), '127.0.0.1').setEncoding('latin1');
    const once = (): void => {
      if (!socket.destroyed) socket.write(`GET ${pathname} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    };
    socket.on('error', () => {}).on('connect', once);
    // Of so small an answer all comes at once.
    socket.on('data', (answer: string) => {
      if (answer.startsWith('HTTP/1.1 200 ')) answers += 1;
      const ms = pauseMs();
      if (ms > 0) setTimeout(once, ms);
      else once();
    });
    return socket;
  });
  return { answers: () => answers, end: () => sockets.forEach((socket) => socket.destroy()) };
}

const read = async <T>(url: string): Promise<T> => JSON.parse(await ask(url)) as T;

/** mulberry32: the same lengths in every run. */
function* randoms(seed: number): Generator<number, never> {
  for (let state = seed; ;) {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    yield ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  }
}

/** A process that has little of a core takes its time to tell. */
async function stallsWith(pprof: string, isIt: (stall: Stall) => unknown): Promise<Stalls> {
  let reading = await read<Stalls>(`${pprof}stalls`);
  for (let attempt = 1; attempt < 20 && !reading.stalls.some(isIt); attempt++) {
    await sleep(100);
    reading = await read<Stalls>(`${pprof}stalls`);
  }
  return reading;
}

async function stallOf(pprof: string, name: string): Promise<Stall | undefined> {
  const isIt = ({ route }: Stall): boolean => route === name;
  return (await stallsWith(pprof, isIt)).stalls.find(isIt);
}

const delay = ({ runDelayMs }: Stall): { durationMs: number } => ({ durationMs: runDelayMs ?? 0 });

const routeOf = (name: string): string => `/${name}/:ms`;

/** The routes whose stalls the engine promises to charge to them. */
function promisedRoutes(engine: string): string[] {
  return ROUTES.filter((name) => engine === 'datadog' || !NEED_LABELS.includes(name));
}

/** What of a stall lies in the time of a known one. */
function overlap(stall: Stall, { startedMs, durationMs }: Known): { durationMs: number } {
  const startMs = Date.parse(stall.startedAt);
  const endMs = Math.min(startMs + stall.durationMs, startedMs + durationMs);
  return { durationMs: Math.max(0, endMs - Math.max(startMs, startedMs)) };
}

it.each(RUNS)(
  '$count stalls of 60 to 600 ms and $longOnes of up to 3 s are all reported, with their length, their route and their function, by the engine $engine',
  async ({ engine, count, longOnes }) => {
    const { pprof, app } = await start('stalling.cjs', { labels: true, engine });
    await ask(`${app}/light`);
    const random = randoms(7);
    const traffic = askAgainAndAgain(`${app}/light`, { clients: 3, pauseMs: () => 40 * Math.random() });

    const reported = new Map<string, Stall>();
    const collect = async (): Promise<Stalls> => {
      const reading = await read<Stalls>(`${pprof}stalls`);
      for (const stall of reading.stalls) reported.set(stall.startedAt, stall);
      return reading;
    };
    for (let n = 0; n < count + longOnes; n++) {
      if (n === Math.floor(count * 0.7)) services.push(await startService('spin-forever.cjs'));
      const long = n % Math.ceil((count + longOnes) / longOnes) === 3;
      const durationMs = long ? 1000 + 2000 * random.next().value : 60 * 10 ** random.next().value;
      await ask(`${app}/${ROUTES[n % ROUTES.length]}/${durationMs.toFixed(1)}`);
      await sleep(30 + 40 * Math.random());
      if (n % 15 === 14) await collect();
    }
    traffic.end();
    await sleep(200);
    await collect();
    expect(traffic.answers()).toBeGreaterThan(count);
    const known = await read<Known[]>(`${app}/known`);
    expect(known).toHaveLength(count + longOnes);

    // A machine that is busy with others holds the loop too, and makes what is meant to be short long: what it did is told by the
    // scheduler's own figures, and no stall of that kind counts here for or against.
    const held = ({ runDelayMs }: Stall): boolean => (runDelayMs ?? 0) > 4;
    // What the process does while it starts is nobody's here.
    const beganMs = (known[0] as Known).startedMs;
    const stalls = [...reported.values()].filter(
      ({ startedAt, durationMs }) => Date.parse(startedAt) + durationMs > beganMs,
    );
    const pairs = known.map((each) => {
      const endMs = each.startedMs + each.durationMs;
      const found = stalls.filter((stall) => {
        const startMs = Date.parse(stall.startedAt);
        return startMs < endMs && startMs + stall.durationMs > each.startedMs;
      });
      return { known: each, found };
    });

    // None is missing above twice the threshold, and hardly any below.
    const missing = pairs.filter(({ found }) => found.length === 0).map(({ known: each }) => each);
    expect(missing.filter(({ durationMs }) => durationMs > 2 * THRESHOLD_MS)).toEqual([]);
    expect(missing.length).toBeLessThanOrEqual(0.03 * count);

    // None is invented.
    const matched = new Set(pairs.flatMap(({ found }) => found));
    const invented = stalls.filter((stall) => !matched.has(stall) && !held(stall) && stall.cause !== 'host');
    expect(invented.filter(({ cause }) => cause === 'javascript' || cause === 'sync-io')).toEqual([]);

    const total = (each: { durationMs: number }[]): number =>
      each.reduce((sum, { durationMs }) => sum + durationMs, 0);

    // The time is charged to the right route, as far as it was the process's and not the machine's.
    const promised = promisedRoutes(engine).map(routeOf);
    const own = pairs.filter(
      ({ known: { route }, found }) =>
        promised.includes(route) && total(found.map(delay)) <= 0.05 * total(found),
    );
    const rightMs = own.reduce(
      (sum, { known: each, found }) =>
        sum + total(found.filter(({ route }) => route === each.route).map((stall) => overlap(stall, each))),
      0,
    );
    if (own.length > 0)
      expect(rightMs / total(own.map(({ known: each }) => each))).toBeGreaterThanOrEqual(0.97);

    // The lengths are right, as far as others let the thread run: it may have been held between two readings of a clock. On a quiet
    // machine that is each of them. Where a machine is held by its host as well, no figure tells, and where the sampler begins anew
    // just then, all times of its samples are late by that: those are few.
    const off = pairs
      .filter(({ found }) => found.length > 0)
      .map(({ known: each, found }) => {
        const stall = found.reduce((a, b) =>
          overlap(b, each).durationMs > overlap(a, each).durationMs ? b : a,
        );
        return { known: each, stall, offMs: stall.durationMs - each.durationMs };
      })
      .sort((a, b) => a.offMs - b.offMs);
    const heldMs = ({ known: { heldAroundMs }, stall: { runDelayMs } }: (typeof off)[number]): number =>
      heldAroundMs + (runDelayMs ?? 0);
    const tooFar = off.filter((each) => Math.abs(each.offMs) > 5 + heldMs(each));
    if (tooFar.length > 0.05 * off.length) expect(tooFar).toEqual([]);
    expect(Math.abs(off[off.length >> 1]?.offMs ?? Infinity)).toBeLessThan(1);

    // The samples are in the right function.
    let inFunction = 0;
    let seen = 0;
    for (const { known: each, found } of pairs) {
      for (const { durationMs, frames } of found.flatMap(({ stacks }) => stacks)) {
        if (frames[0]?.startsWith('(')) continue;
        seen += durationMs;
        if (frames.some((frame) => frame.startsWith(each.functionName))) inFunction += durationMs;
      }
    }
    expect(inFunction / seen).toBeGreaterThanOrEqual(0.95);

    // The block profile says the same; its labels are those of the samples, of which some lie between two callbacks.
    const block = await fetchProfile(`${pprof}block`);
    const ownRows = block.samples.filter(({ labels }) =>
      ROUTES.some((route) => labels['route'] === routeOf(route)),
    );
    const delayMs = ownRows.reduce((sum, { values }) => sum + (values[1] ?? 0), 0) / 1e6;
    expect(
      Math.abs(
        delayMs / total([...matched].filter(({ route }) => ROUTES.some((name) => route === routeOf(name)))) -
          1,
      ),
    ).toBeLessThan(0.1);
  },
  240_000,
);

it.each(ENGINES)(
  'several that queue behind each other are all reported, each with its route, by the engine %s',
  async (engine) => {
    const { pprof, app } = await start('stalling.cjs', { labels: true, engine });
    await ask(`${app}/light`);
    await sleep(500);
    const lengths = { report: 400, orders: 300, rules: 200 };
    const first = ask(`${app}/report/400`);
    await sleep(150);
    // They wait for the first, and are then taken up in one turn of the loop, or in a few.
    await Promise.all([first, ask(`${app}/rules/200`), ask(`${app}/orders/300`), ask(`${app}/light`)]);
    const promised = promisedRoutes(engine);
    for (const [name, ms] of Object.entries(lengths)) {
      const isIt = promised.includes(name)
        ? ({ route }: Stall) => route === routeOf(name)
        : ({ stacks }: Stall) =>
            stacks[0]?.frames.some((frame) => frame.startsWith(FUNCTIONS[name as keyof typeof FUNCTIONS]));
      const { stalls } = await stallsWith(pprof, isIt);
      // The machine may have held what came after it as well.
      const found = stalls.filter(isIt);
      expect(Math.max(...found.map(({ durationMs }) => durationMs))).toBeGreaterThan(0.9 * ms);
    }
    const delays = (await fetchProfile(`${pprof}block`)).samples.map(({ labels }) => labels['route']);
    for (const name of promised.filter((each) => each in lengths)) expect(delays).toContain(routeOf(name));
  },
);

describe('where there is no stall, none is invented', () => {
  it('in an idle process, by either engine', async () => {
    const idle = async (engine: string): Promise<Stall[]> => {
      const { pprof, app } = await start('stalling.cjs', { engine });
      await ask(`${app}/light`);
      await sleep(1500);
      const before = await read<Stalls>(`${pprof}stalls`);
      await sleep(4000);
      const after = await read<Stalls>(`${pprof}stalls`);
      return after.stalls.slice(0, after.count - before.count).filter(({ cause }) => cause !== 'host');
    };
    expect(await Promise.all(ENGINES.map(idle))).toEqual([[], []]);
  });

  it.each(ENGINES_OF_THIS_NODE)(
    'in one that is saturated by short callbacks: that is a backlog, by the engine %s',
    async (engine) => {
      const { pprof, app } = await start('stalling.cjs', { engine });
      const load = askAgainAndAgain(`${app}/light`, { clients: 400, pauseMs: () => 0 });
      await sleep(2500);
      const before = await read<Stalls>(`${pprof}stalls`);
      await sleep(4000);
      const after = await read<Stalls>(`${pprof}stalls`);
      load.end();
      expect(load.answers()).toBeGreaterThan(400);
      expect(after.backlog.count).toBeGreaterThan(before.backlog.count);
      expect(after.backlog.totalMs - before.backlog.totalMs).toBeGreaterThan(1000);
      const added = after.stalls.slice(0, after.count - before.count);
      expect(added.filter(({ cause }) => cause !== 'host' && cause !== 'gc')).toEqual([]);
    },
  );
});

// Node tells callbacks apart from 24 on.
const itWithIds = Number(process.versions.node.split('.')[0]) >= 24 ? it : it.skip;
itWithIds('a burst of short timers is a backlog, and no rule on stalls fires for it', async () => {
  const { stdout, stderr } = await runToEnd('burst.cjs', { args: [newFolder(), '600'] });
  expect(stderr).toBe('');
  const { stalls, backlogMs, snapshots } = JSON.parse(stdout) as {
    stalls: Stall[];
    backlogMs: number;
    snapshots: string[];
  };
  expect(stalls.filter(({ cause }) => cause !== 'host')).toEqual([]);
  expect(backlogMs).toBeGreaterThan(300);
  expect(snapshots).toEqual([]);
});

itWithIds('nor does one while the burst lasts, by whoever looks from outside', async () => {
  const { stdout } = await runToEnd('burst.cjs', { args: [newFolder(), '2500', 'watched'] });
  const { backlogMs, snapshots } = JSON.parse(stdout) as { backlogMs: number; snapshots: string[] };
  expect(backlogMs).toBeGreaterThan(2000);
  expect(snapshots).toEqual([]);
});

describe.each(ENGINES_OF_THIS_NODE)('the cause of a stall, by the engine %s', (engine) => {
  it.concurrent.each([
    ['busy JavaScript', 'spin', 'javascript'],
    ['a storm of garbage', 'garbage', 'gc'],
    ['a slow pipe that is read synchronously', 'fifo', 'sync-io'],
  ])('%s', async (_what, way, cause) => {
    const { pprof, app } = await start('blocks.cjs', { engine });
    await ask(`${app}/${way}/700`);
    const stall = await stallOf(pprof, `/${way}/:ms`);
    const machineHeldIt = stall?.cause === 'host' && (stall.runDelayMs ?? 0) > 0.25 * stall.durationMs;
    if (!machineHeldIt) expect(stall?.cause).toBe(cause);
  });

  it.concurrent('a process that is stopped and continued: the host', async () => {
    const { pprof, app, child } = await start('blocks.cjs', { engine });
    await ask(`${app}/quick`);
    await sleep(1000);
    const stoppedAt = Date.now();
    child.kill('SIGSTOP');
    await sleep(900);
    child.kill('SIGCONT');
    await sleep(200);
    const { stalls } = await read<Stalls>(`${pprof}stalls`);
    const stall = stalls.find(
      ({ startedAt, durationMs }) => Date.parse(startedAt) + durationMs > stoppedAt + 500,
    );
    expect(stall).toMatchObject({ cause: 'host' });
    expect(stall?.durationMs).toBeGreaterThan(500);
  });

  const onOneCore = process.platform === 'linux' ? it : it.skip;
  onOneCore('two busy neighbours on its only core: the host', async () => {
    const { pprof, app, child } = await start('blocks.cjs', { engine });
    await ask(`${app}/quick`);
    execFileSync('taskset', ['-a', '-cp', '0', String(child.pid)]);
    const neighbours = await Promise.all([1, 2, 3].map(() => startService('spin-forever.cjs', { args: [] })));
    try {
      for (const neighbour of neighbours)
        execFileSync('taskset', ['-a', '-cp', '0', String(neighbour.child.pid)]);
      await ask(`${app}/spin/1500`);
      const stall = await stallOf(pprof, '/spin/:ms');
      expect(stall).toMatchObject({ cause: 'host' });
    } finally {
      await Promise.all(neighbours.map((neighbour) => neighbour.stop()));
    }
  });
});
