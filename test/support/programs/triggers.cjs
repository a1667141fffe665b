// Brings about the case of one rule of `triggers` after the other, each twice, and prints a line of JSON for every snapshot and every
// line of the log. argv[2]: profileDir
const { EventEmitter, once } = require('node:events');
const { totalmem } = require('node:os');
const { setTimeout: sleep } = require('node:timers/promises');
const { Profiler } = require('@loopprof/core');
const { profilingMiddleware } = require('@loopprof/express');
const express = require('express');

const MB = 2 ** 20;
const constrained = process.constrainedMemory();
const limitBytes = constrained > 0 && constrained < totalmem() ? constrained : totalmem();

const print = (line) => console.log(JSON.stringify(line));
const said = new EventEmitter();
const at = (level) => (_details, message) => {
  print({ level, message });
  if (message.includes(' holds (')) said.emit('held back');
};
const logger = { debug: () => {}, info: at('info'), warn: at('warn'), error: at('error') };

const scope = { overMs: 1000, minRequests: 5 };
const profiler = new Profiler(
  {
    hangThresholdMs: 600_000,
    enableHTTP: false,
    profileDir: process.argv[2],
    triggers: [
      { on: 'interval', everyMs: 2000, maxPerHour: 1 },
      { on: 'stall', longerThanMs: 1500 },
      { on: 'latency', p99AboveMs: 200, route: '/slow/:n', ...scope },
      { on: 'errors', shareAbove: 0.5, route: '/fails', ...scope },
      { on: 'heap', shareAbove: 0.5 },
      { on: 'rss', shareAbove: (process.memoryUsage.rss() + 500 * MB) / limitBytes },
      // Longer than the other cases keep the loop busy, also where others have most of the cores.
      { on: 'highLoad', utilizationAbove: 0.95, forMs: 8000 },
      { on: 'signal', signal: 'SIGUSR2', cooldownMs: 60_000 },
    ],
  },
  logger,
);
profiler.on('snapshot', ({ reason, triggers, files }) => print({ reason, triggers, files }));

function burn(durationMs) {
  const until = performance.now() + durationMs;
  while (performance.now() < until);
}

/** To the loop it is all the same, and to others who need the cores it is not. */
function holdWithoutCpu(durationMs) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, durationMs);
}

const kept = [];
/** In pieces, so that what is allocated is no stall. */
async function inPieces(count, allocate) {
  for (let n = 0; n < count; n++) {
    kept.push(allocate());
    await new Promise(setImmediate);
  }
}

let origin;
const ask = (path) =>
  Promise.all(Array.from({ length: 6 }, async (_, n) => (await fetch(`${origin}${path}${n}`)).text()));

const CASES = {
  interval: () => {},
  stall: () => burn(2000),
  latency: () => ask('/slow/'),
  errors: () => ask('/fails?'),
  heap: () => inPieces(180, () => Array.from({ length: 1024 }, (_, n) => new Array(126).fill(n + 0.5))),
  rss: () => {
    kept.splice(0);
    return inPieces(80, () => Buffer.alloc(10 * MB, 1));
  },
  'high-load': async () => {
    let done = false;
    profiler.once('snapshot', () => (done = true));
    for (const startedMs = performance.now(); !done; await new Promise(setImmediate)) {
      holdWithoutCpu(50);
      if (performance.now() - startedMs > 60_000) throw new Error('no snapshot under high load');
    }
  },
  signal: () => process.kill(process.pid, 'SIGUSR2'),
};

async function main() {
  const app = express();
  app.use(profilingMiddleware({ profiler }));
  app.get('/slow/:n', (_req, res) => setTimeout(() => res.send('late'), 300));
  app.get('/fails', (_req, res) => res.status(500).send('no'));
  await profiler.start();
  const server = app.listen(0);
  origin = `http://127.0.0.1:${server.address().port}`;
  for (const [name, bringAbout] of Object.entries(CASES)) {
    print({ case: name });
    await Promise.all([once(profiler, 'snapshot'), bringAbout()]);
    if (name === 'rss') kept.splice(0);
    // For whatever else may think that this is its case.
    await sleep(1100);
  }
  for (const name of ['stall', 'latency', 'errors', 'signal']) {
    print({ again: name });
    await Promise.all([once(said, 'held back'), CASES[name]()]);
  }
  await profiler.stop();
  server.close();
  server.closeAllConnections();
}
main();
