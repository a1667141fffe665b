// The app under soak: an Express app with routes that wait, stall, litter and fail. With argv[2] = 'with' it has a profiler. Prints
// its URL and the index page's. /measure tells what the process holds; /kill ends the sidecar; /stop stops the profiler.
const { readdirSync } = require('node:fs');
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

function measure() {
  globalThis.gc();
  const { heapUsed, rss, external } = process.memoryUsage();
  const resources = {};
  for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1;
  return {
    heapUsed,
    rss,
    external,
    workers: workers.size,
    descriptors: readdirSync('/proc/self/fd').length,
    timers: resources.Timeout ?? 0,
    listeners: EVENTS.reduce((sum, event) => sum + process.listenerCount(event), 0),
  };
}

async function main() {
  const before = measure();
  const app = express();
  let profiler;
  if (profiled) {
    const { Profiler } = require('@loopprof/core');
    const { profilingMiddleware } = require('@loopprof/express');
    // A short window is soon full, so that what still grows after that is a leak.
    const config = {
      httpAddr: 'localhost:0',
      profileDir: process.argv[3],
      hangThresholdMs: 200,
      windowMs: 15_000,
    };
    profiler = new Profiler(config);
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
