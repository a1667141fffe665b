// CPU per request of an app with loopprof and without, and with others. Prints tables; asserts nothing.
//   node bench/overhead.mjs [--nodes 20,24] [--frameworks express,koa,fastify] [--only bare,everything] [--peers]
//                           [--rounds 7] [--seconds 4] [--warm-up 3] [--patience 3] [--young 16] [--aged] [--alone]
// --nodes takes major versions that `npm run nodes` has fetched; without it the Node that runs this is measured. --peers installs
// the packages of others into .cache/peers and measures them too. A round is so many seconds for each, one at a time in turns, in
// processes of its own; a second in which others kept the machine busy is measured again, up to --patience times. It needs two cores or more.
// --young fixes V8's young generation to that many MB per semi-space, for all alike: left to itself it starts at 1 and doubles by how
// much a process has kept so far, modules that it has loaded included, and a server that small is a quarter cheaper or dearer by where
// it happens to stand. 0 leaves it to V8.
// --aged has every process go through five full collections while it is idle, before it is measured: V8 forgets there what Node's ticks
// look like, and each `process.nextTick()` costs four times as much and more from then on, where nobody prevents it.
// --alone has no process rest while others are measured: each is started when the one before has ended.
import { spawn } from 'node:child_process';
import { availableParallelism, cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { contestants } from './overhead/contestants.mjs';
import { canPin, load, pinned } from './overhead/load.mjs';
import { watchOthers } from './overhead/machine.mjs';
import { installPeers } from './overhead/peers.mjs';
import { median, printTable } from './pause/table.mjs';
import { nodeBinary } from '../scripts/fetch-nodes.mjs';

const program = fileURLToPath(new URL('./overhead/server.mjs', import.meta.url));

const { values } = parseArgs({
  options: {
    nodes: { type: 'string' },
    frameworks: { type: 'string', default: 'express,koa,fastify' },
    only: { type: 'string' },
    peers: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '4' },
    'warm-up': { type: 'string', default: '3' },
    patience: { type: 'string', default: '3' },
    young: { type: 'string', default: '16' },
    aged: { type: 'boolean', default: false },
    alone: { type: 'boolean', default: false },
  },
});
const SERVER_CORE = 0;
const LOAD_CORE = 1;
const CONNECTIONS = 16;
/**
 * Seconds. While the others warm up a process is idle, and 16 s of that make V8 collect its garbage and let go of what it has compiled: the
 * second after that takes half as much again, in whichever process it was, the bare one included.
 */
const WARM_AGAIN = 2;
/** Cores that others may keep busy. */
const QUIET = 0.12;

const positive = (option) => {
  const number = Number(values[option]);
  if (Number.isInteger(number) && number > 0) return number;
  console.error(`--${option} must be a positive integer`);
  process.exit(2);
};
const [rounds, seconds, warmUp, patience] = ['rounds', 'seconds', 'warm-up', 'patience'].map(positive);
const young = Number(values.young);
const v8Flags = [
  ...(young > 0 ? [`--min-semi-space-size=${young}`, `--max-semi-space-size=${young}`] : []),
  ...(values.aged ? ['--expose-gc'] : []),
];
const only = values.only?.split(',');

const ownMajor = Number(process.versions.node.split('.')[0]);
const nodes = (values.nodes?.split(',').map(Number) ?? [ownMajor]).map((major) => ({
  major,
  binary: major === ownMajor ? process.execPath : nodeBinary(major),
}));

/** Who takes part on that Node, by framework. */
function field(major) {
  return values.frameworks.split(',').map((framework) => ({
    framework,
    names: Object.keys(contestants).filter((name) => {
      const { frameworks, peer, from = 0, before = Infinity } = contestants[name];
      if (!frameworks.includes(framework) || (peer && !values.peers)) return false;
      return major >= from && major < before && (name === 'bare' || !only || only.includes(name));
    }),
  }));
}

class Server {
  #child;
  #url;
  node;
  sent = 0;

  static async start(binary, name, framework) {
    const server = new Server();
    const env = { ...process.env, NODE_ENV: 'production' };
    delete env.NODE_OPTIONS;
    const [command, args] = pinned(SERVER_CORE, binary, [...v8Flags, program, name, framework]);
    server.#child = spawn(command, args, { env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const { port, node } = await server.#answer();
    server.node = node;
    server.#url = `http://127.0.0.1:${port}/users/7`;
    return server;
  }

  async measure(duration) {
    const others = watchOthers();
    const before = await this.#ask('mark');
    const requests = await load(this.#url, { core: LOAD_CORE, connections: CONNECTIONS, seconds: duration });
    const after = await this.#ask('mark');
    this.sent += requests;
    const cpuMicros = after.cpuMicros - before.cpuMicros;
    return { cpuMicros, requests, others: others(cpuMicros / 1000) };
  }

  /** The quietest of some tries. */
  async measureQuietly(duration) {
    let best = await this.measure(duration);
    for (let tries = 1; best.others > QUIET && tries < patience; tries++) {
      const next = await this.measure(duration);
      if (next.others < best.others) best = next;
    }
    return best;
  }

  async age() {
    await this.#ask('age');
  }

  /** How many requests it says it has counted; undefined where it counts none. */
  async counted() {
    return (await this.#ask('counted')).counted;
  }

  stop() {
    this.#child.disconnect();
  }

  #ask(question) {
    this.#child.send(question);
    return this.#answer();
  }

  #answer() {
    return new Promise((resolve, reject) => {
      const onEnd = () => reject(new Error('a server has ended'));
      this.#child.once('exit', onEnd).once('message', (message) => {
        this.#child.off('exit', onEnd);
        resolve(message);
      });
    });
  }
}

const rotated = (list, by) => [...list.slice(by % list.length), ...list.slice(0, by % list.length)];

async function run({ major, binary }) {
  if (values.peers) installPeers(major);
  const groups = field(major).map(({ framework, names }) =>
    names.map((name) => ({ framework, name, server: undefined, figures: [], seconds: [] })),
  );
  for (let round = 0; round < rounds; round++) {
    process.stderr.write(`Node ${major}: round ${round + 1} of ${rounds}\n`);
    for (const group of rotated(groups, round)) {
      const present = values.alone ? rotated(group, round).map((entry) => [entry]) : [group];
      for (const entries of present) await inFreshProcesses(entries, binary, round);
    }
  }
  print(groups.flat());
}

/** What V8 makes of a process differs by a tenth from one to the next: each round has processes of its own. */
async function inFreshProcesses(group, binary, round) {
  try {
    for (const entry of group) {
      entry.server = await Server.start(binary, entry.name, entry.framework);
      entry.node = entry.server.node;
      await entry.server.measure(warmUp);
      if (values.aged) await entry.server.age();
    }
    for (const { server } of group) await server.measure(WARM_AGAIN);
    await measureRound(group, round);
    for (const { framework, name, server } of group) {
      const counted = await server.counted();
      if (counted !== undefined && Math.abs(counted - server.sent) > 0.01 * server.sent)
        console.error(`${framework}, ${name}: has counted ${counted} requests of ${server.sent}`);
    }
  } finally {
    for (const { server } of group) server?.stop();
  }
}

/** One figure for each, of so many seconds: one at a time in turns, and each turn begins with another one. */
async function measureRound(group, round) {
  const sums = group.map(() => ({ cpuMicros: 0, requests: 0, others: 0 }));
  for (let second = 0; second < seconds; second++) {
    for (const index of rotated([...group.keys()], round + second)) {
      const { cpuMicros, requests, others } = await group[index].server.measureQuietly(1);
      group[index].seconds.push(cpuMicros / requests);
      sums[index].cpuMicros += cpuMicros;
      sums[index].requests += requests;
      sums[index].others += others / seconds;
    }
  }
  group.forEach(({ figures }, index) => figures.push(sums[index]));
}

/** Others on the same machine only ever add: the figure that a quarter of the seconds stay below tells most of what is one's own. */
const lowestQuarter = ({ seconds: figures }) => figures.toSorted((a, b) => a - b)[figures.length >> 2];

function print(entries) {
  const perRequest = ({ figures }) => figures.map(({ cpuMicros, requests }) => cpuMicros / requests);
  const bareEntry = (framework) =>
    entries.find((entry) => entry.framework === framework && entry.name === 'bare');
  const cell = (figures, digits) => {
    const [lowest, highest] = [Math.min(...figures), Math.max(...figures)];
    return `${median(figures).toFixed(digits)} (${lowest.toFixed(digits)}-${highest.toFixed(digits)})`;
  };
  console.log(`\nNode ${entries[0].node}\n`);
  printTable(
    ['framework', 'with', 'CPU µs per request', 'bare = 1', 'lowest quarter, µs', 'bare = 1'],
    entries.map((entry) => {
      const { framework, name } = entry;
      const bare = bareEntry(framework);
      const ratios = perRequest(entry).map((figure, round) => figure / perRequest(bare)[round]);
      const low = lowestQuarter(entry);
      const [ratio, lowRatio] =
        name === 'bare' ? ['1', '1'] : [cell(ratios, 2), (low / lowestQuarter(bare)).toFixed(2)];
      return [
        framework,
        contestants[name].title,
        cell(perRequest(entry), 1),
        ratio,
        low.toFixed(1),
        lowRatio,
      ];
    }),
  );
  const others = entries.flatMap(({ figures }) => figures.map((figure) => figure.others));
  console.log(
    `\nOthers kept ${median(others).toFixed(2)} cores busy meanwhile (${Math.max(...others).toFixed(2)} at most).`,
  );
}

console.log(`${cpus()[0]?.model ?? 'unknown CPU'}, ${availableParallelism()} cores; GET /users/:id with a small JSON answer, ${CONNECTIONS} connections; semi-spaces
${young > 0 ? `of ${young} MB` : 'as V8 sizes them'}; median (lowest-highest) of ${rounds} rounds of ${seconds} s${values.aged ? ', aged' : ''}${values.alone ? ', each alone' : ''}; each ratio is to the bare app of the same round.`);
if (!canPin || availableParallelism() < 2)
  console.log('The server and who asks it share their cores here: ratios are less certain.');
for (const node of nodes) await run(node);
