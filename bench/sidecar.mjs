// What the sidecar costs: memory and CPU of a process with it and without, idle and under load. Prints a table; asserts nothing.
//   node bench/sidecar.mjs [--nodes 20,24] [--rounds 3] [--seconds 10] [--young 16]
// --nodes takes major versions that `npm run nodes` has fetched; without it the Node that runs this is measured. --young fixes V8's
// young generation to that many MB per semi-space, for all alike, as in overhead.mjs; 0 leaves it to V8. Where it can be done, the
// server is kept to one core, sidecar included, and the load to another.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { nodeBinary } from '../scripts/fetch-nodes.mjs';
import { load, pinned } from './overhead/load.mjs';
import { median, printTable } from './pause/table.mjs';

const program = fileURLToPath(new URL('./sidecar/server.cjs', import.meta.url));
const { values } = parseArgs({
  options: {
    nodes: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '10' },
    young: { type: 'string', default: '16' },
  },
});
const SERVER_CORE = 0;
const LOAD = { core: 1, connections: 16 };
const [rounds, seconds] = ['rounds', 'seconds'].map((option) => {
  const number = Number(values[option]);
  if (Number.isInteger(number) && number > 0) return number;
  console.error(`--${option} must be a positive integer`);
  process.exit(2);
});

const young = Number(values.young);
const v8Flags = young > 0 ? [`--min-semi-space-size=${young}`, `--max-semi-space-size=${young}`] : [];
const ownMajor = Number(process.versions.node.split('.')[0]);
const nodes = (values.nodes?.split(',').map(Number) ?? [ownMajor]).map((major) => ({
  major,
  binary: major === ownMajor ? process.execPath : nodeBinary(major),
}));

/** Figures of one process of that kind. */
async function measure(binary, kind) {
  const env = { ...process.env, NODE_ENV: 'production' };
  delete env.NODE_OPTIONS;
  const [command, args] = pinned(SERVER_CORE, binary, [...v8Flags, program, kind]);
  const child = spawn(command, args, { env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const [{ port }] = await once(child, 'message');
  const mark = async () => {
    child.send('mark');
    return (await once(child, 'message'))[0];
  };
  const url = `http://127.0.0.1:${port}/users/7`;
  try {
    await sleep(3000);
    const idleFrom = await mark();
    await sleep(seconds * 1000);
    const idle = await mark();
    await load(url, { ...LOAD, seconds: 3 });
    const loadFrom = await mark();
    const loadFromMs = performance.now();
    const requests = await load(url, { ...LOAD, seconds });
    const loadMs = performance.now() - loadFromMs;
    const loaded = await mark();
    return {
      idleRssMB: idle.rssBytes / 2 ** 20,
      idleCpuPercent: (idle.cpuMicros - idleFrom.cpuMicros) / seconds / 1e4,
      loadedRssMB: loaded.rssBytes / 2 ** 20,
      loadedCpuPercent: (loaded.cpuMicros - loadFrom.cpuMicros) / loadMs / 10,
      microsPerRequest: (loaded.cpuMicros - loadFrom.cpuMicros) / requests,
    };
  } finally {
    child.kill();
    await once(child, 'exit');
  }
}

const KINDS = { bare: 'no profiler', without: 'sidecar: false', with: 'with the sidecar' };
const column = (all, digits) => {
  const [low, high] = [Math.min(...all), Math.max(...all)].map((number) => number.toFixed(digits));
  return `${median(all).toFixed(digits)} (${low}-${high})`;
};

for (const { major, binary } of nodes) {
  const figures = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, []]));
  for (let round = 0; round < rounds; round++) {
    for (const kind of Object.keys(KINDS)) {
      console.error(`Node ${major}, round ${round + 1} of ${rounds}: ${kind}`);
      figures[kind].push(await measure(binary, kind));
    }
  }
  console.log(`\nNode ${major}, young generation ${young > 0 ? `of ${young} MB` : 'as V8 sizes it'}; \
median (lowest-highest) of ${rounds} processes each; CPU in % of a core\n`);
  printTable(
    ['', 'RSS idle, MB', 'CPU idle', 'RSS under load, MB', 'CPU under load', 'CPU per request, µs'],
    Object.entries(KINDS).map(([kind, title]) => [
      title,
      ...[
        ['idleRssMB', 0],
        ['idleCpuPercent', 2],
        ['loadedRssMB', 0],
        ['loadedCpuPercent', 1],
        ['microsPerRequest', 1],
      ].map(([field, digits]) =>
        column(
          figures[kind].map((each) => each[field]),
          digits,
        ),
      ),
    ]),
  );
}
