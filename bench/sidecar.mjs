// What the sidecar costs: memory and CPU of a process with it and without, idle and under load. Prints a table; asserts nothing.
//   node bench/sidecar.mjs [--rounds 3] [--seconds 10]
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { load } from './overhead/load.mjs';
import { median, printTable } from './pause/table.mjs';

const program = fileURLToPath(new URL('./sidecar/server.cjs', import.meta.url));
const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '3' }, seconds: { type: 'string', default: '10' } },
});
const [rounds, seconds] = ['rounds', 'seconds'].map((option) => {
  const number = Number(values[option]);
  if (Number.isInteger(number) && number > 0) return number;
  console.error(`--${option} must be a positive integer`);
  process.exit(2);
});

/** Figures of one process of that kind. */
async function measure(kind) {
  const env = { ...process.env, NODE_ENV: 'production' };
  delete env.NODE_OPTIONS;
  const child = fork(program, [kind], { env, execArgv: [] });
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
    await load(url, { core: 1, connections: 16, seconds: 3 });
    const loadFrom = await mark();
    const requests = await load(url, { core: 1, connections: 16, seconds });
    const loaded = await mark();
    return {
      idleRssMB: idle.rssBytes / 2 ** 20,
      idleCpuPercent: (idle.cpuMicros - idleFrom.cpuMicros) / seconds / 1e4,
      loadedRssMB: loaded.rssBytes / 2 ** 20,
      microsPerRequest: (loaded.cpuMicros - loadFrom.cpuMicros) / requests,
    };
  } finally {
    child.kill();
    await once(child, 'exit');
  }
}

const KINDS = { bare: 'no profiler', without: 'sidecar: false', with: 'with the sidecar' };
const figures = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, []]));
for (let round = 0; round < rounds; round++) {
  for (const kind of Object.keys(KINDS)) {
    console.error(`round ${round + 1} of ${rounds}: ${kind}`);
    figures[kind].push(await measure(kind));
  }
}

const column = (kind, field, digits) => {
  const all = figures[kind].map((each) => each[field]);
  const [low, high] = [Math.min(...all), Math.max(...all)].map((number) => number.toFixed(digits));
  return `${median(all).toFixed(digits)} (${low}-${high})`;
};
console.log(`\nNode ${process.version}, median (lowest-highest) of ${rounds} processes each\n`);
printTable(
  ['', 'RSS idle, MB', 'CPU idle, % of a core', 'RSS under load, MB', 'CPU per request, µs'],
  Object.entries(KINDS).map(([kind, title]) => [
    title,
    column(kind, 'idleRssMB', 0),
    column(kind, 'idleCpuPercent', 2),
    column(kind, 'loadedRssMB', 0),
    column(kind, 'microsPerRequest', 1),
  ]),
);
