// What recording asynchronous operations costs a request, in CPU of the whole process. Prints tables; asserts nothing.
//   node bench/async.mjs [--rounds 3] [--requests 4000] [--frameworks express,koa,fastify]
// The Node that runs this runs the servers too.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cell, printTable, spread } from './pause/table.mjs';

const serverFile = fileURLToPath(new URL('./async/server.mjs', import.meta.url));
const CONNECTIONS = 16;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    requests: { type: 'string', default: '4000' },
    frameworks: { type: 'string', default: 'express,koa,fastify' },
  },
});
const rounds = Number(values.rounds);
const requests = Number(values.requests);
const frameworks = values.frameworks.split(',');

const modes = {
  'no profiler': { config: null },
  'loopprof, these profiles off': { config: { enableGoroutine: false, enableMutex: false } },
  'loopprof as it comes': { config: {} },
  'asyncSampleRate: 1000': { config: { asyncSampleRate: 1000 } },
  'asyncSampleRate: 64': { config: { asyncSampleRate: 64 } },
  'asyncSampleRate: 1': { config: { asyncSampleRate: 1 } },
  'while somebody captures': { config: {}, capture: true },
};

function ask(agent, url) {
  return new Promise((resolve, reject) => {
    get(url, { agent }, (response) => response.resume().once('end', resolve)).once('error', reject);
  });
}

async function load(port, count) {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  let left = count;
  const client = async () => {
    while (left-- > 0) await ask(agent, `http://127.0.0.1:${port}/users/${left}`);
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, client));
  agent.destroy();
}

/** CPU per request in microseconds. */
async function measure(framework, { config, capture }) {
  const env = { ...process.env };
  delete env.NODE_OPTIONS;
  const server = fork(serverFile, [framework, JSON.stringify(config)], { env, execArgv: [] });
  try {
    const cpuMicros = async () => {
      server.send('cpu');
      return (await once(server, 'message'))[0].cpuMicros;
    };
    const [{ port }] = await once(server, 'message');
    await load(port, requests);
    const abort = new AbortController();
    if (capture) {
      const url = `http://127.0.0.1:${port}/debug/pprof/goroutine?seconds=120`;
      fetch(url, { signal: abort.signal }).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    const before = await cpuMicros();
    await load(port, requests);
    const used = (await cpuMicros()) - before;
    abort.abort();
    return used / requests;
  } finally {
    server.kill();
  }
}

const figures = new Map();
for (let round = 0; round < rounds; round++) {
  for (const framework of frameworks) {
    const bare = await measure(framework, modes['no profiler']);
    for (const [name, mode] of Object.entries(modes)) {
      const micros = name === 'no profiler' ? bare : await measure(framework, mode);
      const key = `${framework} ${name}`;
      figures.set(key, [...(figures.get(key) ?? []), { micros, ratio: micros / bare }]);
    }
  }
}

console.log(
  `CPU per request against the same server without a profiler, Node ${process.version}, ${rounds} rounds\n`,
);
printTable(
  ['', ...frameworks],
  Object.keys(modes).map((name) => [
    name,
    ...frameworks.map((framework) => {
      const all = figures.get(`${framework} ${name}`);
      const micros = spread(all.map((each) => each.micros));
      return name === 'no profiler'
        ? `${micros.median.toFixed(0)} µs`
        : `${cell(spread(all.map(({ ratio }) => ratio)))}`;
    }),
  ]),
);
