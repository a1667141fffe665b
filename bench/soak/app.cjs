// The app under soak: an Express app with routes that wait, stall, litter and fail. With argv[2] = 'with' it has a profiler that
// writes into argv[3]. Prints its URL and the index page's. /measure tells what its memory is and what was written; /held what the
// process holds; /kill ends the sidecar; /stop stops the profiler.
const { readdirSync } = require('node:fs');
const { stat } = require('node:fs/promises');
const v8 = require('node:v8');
const workerThreads = require('node:worker_threads');
const express = require('express');

const profiled = process.argv[2] === 'with';

// Whatever worker is started can be killed later.
const workers = new Set();
workerThreads.Worker = class extends workerThreads.Worker {
  constructor(...args) {
    super(...args);
    workers.add(this);
    this.once('exit', () => workers.delete(this));
  }
};

const EVENTS = [
  'exit',
  'beforeExit',
  'SIGTERM',
  'SIGUSR2',
  'uncaughtException',
  'unhandledRejection',
  'warning',
];

/** What others may put functions of their own in. */
const PATCHABLE = {
  process,
  console,
  fs: require('node:fs'),
  http: require('node:http'),
  crypto: require('node:crypto'),
  zlib: require('node:zlib'),
  dns: require('node:dns'),
  timers: require('node:timers'),
  globalThis,
  'ServerResponse.prototype': require('node:http').ServerResponse.prototype,
  'Promise.prototype': Promise.prototype,
};

/** All functions in those by their name, but for what Node loads when it is first asked for. */
function functionsNow() {
  const found = new Map();
  for (const [owner, object] of Object.entries(PATCHABLE)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(object))) {
      if (typeof value === 'function') found.set(`${owner}.${name}`, value);
    }
  }
  return found;
}
const functionsBefore = functionsNow();

const unrefdToo = setTimeout(() => {}, 0);
const { constructor: Timeout } = unrefdToo;
clearTimeout(unrefdToo);

/** Read with all garbage gone; it takes some time, as it walks through the heap. */
function held() {
  const timers = v8.queryObjects(Timeout, { format: 'count' });
  const functions = functionsNow();
  const replaced = [...functionsBefore].filter(([name, value]) => functions.get(name) !== value);
  return {
    workers: workers.size,
    threads: readdirSync('/proc/self/task').length,
    descriptors: readdirSync('/proc/self/fd').length,
    timers,
    listeners: EVENTS.reduce((sum, event) => sum + process.listenerCount(event), 0),
    replaced: replaced.map(([name]) => name),
  };
}

const written = { snapshots: 0 };
const logged = {};
const logger = Object.fromEntries(
  ['debug', 'info', 'warn', 'error'].map((level) => [
    level,
    () => (logged[level] = (logged[level] ?? 0) + 1),
  ]),
);

function measure() {
  globalThis.gc();
  const { heapUsed, rss, external } = process.memoryUsage();
  return { heapUsed, rss, external, ...written, logged };
}

async function main() {
  // Starts the threads of libuv's pool, which stay: whoever uses it first is not to blame.
  await stat(__filename);
  const before = held();
  const app = express();
  let profiler;
  if (profiled) {
    const { Profiler } = require('@loopprof/core');
    const { profilingMiddleware } = require('@loopprof/express');
    const often = { cooldownMs: 0, maxPerHour: 3600 };
    // Short windows and few snapshots are soon full, so that what still grows after that is a leak.
    const config = {
      httpAddr: 'localhost:0',
      profileDir: process.argv[3],
      hangThresholdMs: 200,
      windowMs: 15_000,
      snapshots: { maxCount: 5 },
      triggers: [
        { on: 'stall', longerThanMs: 300, ...often },
        { on: 'interval', everyMs: 10_000, ...often },
      ],
    };
    profiler = new Profiler(config, logger);
    profiler.on('snapshot', () => (written.snapshots += 1));
    await profiler.start();
    app.use(profilingMiddleware({ profiler, access: 'loopback' }));
  }
  app.get('/hello/:name', (req, res) => res.json({ hello: req.params.name }));
  app.get('/wait/:ms', (req, res) => setTimeout(() => res.json({ waited: true }), Number(req.params.ms)));
  app.get('/stall/:ms', (req, res) => {
    for (const end = performance.now() + Number(req.params.ms); performance.now() < end;);
    res.json({ stalled: true });
  });
  app.get('/litter/:n', (req, res) => {
    let kept;
    for (let n = 0; n < Number(req.params.n); n++) kept = [n, { n }, String(n), kept?.[0]];
    res.json({ kept: kept.length });
  });
  app.get('/fail', () => {
    throw new Error('as it should');
  });
  app.get('/measure', (_req, res) => res.json(measure()));
  app.get('/held', (_req, res) => res.json(held()));
  app.get('/kill', async (_req, res) => {
    await Promise.all([...workers].map((worker) => worker.terminate()));
    res.json({ killed: true });
  });
  app.get('/stop', async (_req, res) => {
    await profiler?.stop();
    res.json(measure());
  });
  // Express shows failures on stderr unless the app says otherwise.
  app.use((_error, _req, res, next) => (res.headersSent ? next() : res.status(500).json({ failed: true })));
  const server = app.listen(0, '127.0.0.1', () =>
    console.log(
      JSON.stringify({
        url: `http://127.0.0.1:${server.address().port}`,
        pprof: profiler?.address,
        before,
      }),
    ),
  );
}
main();
