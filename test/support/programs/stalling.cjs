// An Express app in which known routes stall in known functions, as long as they are told. Prints the standalone URL, then its
// own; /known gives all stalls as they really were. First argument: a configuration as JSON.
const { readFileSync } = require('node:fs');
const express = require('express');
const { Profiler } = require('@loopprof/core');
const { profilingMiddleware } = require('@loopprof/express');

const profiler = new Profiler({ httpAddr: 'localhost:0', ...JSON.parse(process.argv[2] ?? '{}') });
const known = [];

function work(ms) {
  const endsAt = performance.now() + ms;
  let sum = 0;
  while (performance.now() < endsAt) for (let n = 0; n < 500; n++) sum += Math.sqrt(n);
  return sum;
}
function renderReport(ms) {
  return work(ms) + 1;
}
function sortOrders(ms) {
  return work(ms) + 2;
}
function checkRules(ms) {
  return work(ms) + 3;
}

/** How long this thread has been ready to run while the machine ran others. */
function runDelayMs() {
  return Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[1]) / 1e6;
}

/** Runs it, and remembers how long it really took, and what of that the machine ran others. */
function note(req, run) {
  const delayBeforeMs = runDelayMs();
  const startedMs = performance.timeOrigin + performance.now();
  run(Number(req.params.ms));
  const durationMs = performance.timeOrigin + performance.now() - startedMs;
  known.push({
    route: req.route.path,
    functionName: run.name,
    startedMs,
    durationMs,
    runDelayMs: runDelayMs() - delayBeforeMs,
  });
}

profiler.start().then(() => {
  const app = express();
  app.use(profilingMiddleware({ profiler, access: 'loopback' }));
  app.get('/report/:ms', (req, res) => {
    note(req, renderReport);
    res.send('report');
  });
  app.get('/orders/:ms', async (req, res) => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    note(req, sortOrders);
    res.send('orders');
  });
  app.get('/rules/:ms', async (req, res) => {
    await Promise.resolve();
    note(req, checkRules);
    res.send('rules');
  });
  app.get('/light', (_req, res) => {
    work(0.3);
    res.send('light');
  });
  app.get('/known', (_req, res) => res.json(known));
  const server = app.listen(0, '127.0.0.1', () => {
    console.log(`${profiler.address} http://127.0.0.1:${server.address().port}`);
  });
});
