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

/** What there has been of the clock, of this thread's CPU time, and of the event loop's waiting. */
function reading() {
  // Brings the figure in the file up to now.
  process.cpuUsage();
  const cpuMs = Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[0]) / 1e6;
  return { atMs: performance.now(), cpuMs, idleMs: performance.nodeTiming.idleTime };
}

/** How long, between two readings, this thread had work and the machine did not let it: what others had of the core, or of the host. */
function heldMs(from, to) {
  return to.atMs - from.atMs - (to.cpuMs - from.cpuMs) - (to.idleMs - from.idleMs);
}

/** Runs it, and remembers how long it really took, and how long the machine held the thread before it and after. */
function note(req, run) {
  const before = reading();
  const startedMs = performance.timeOrigin + performance.now();
  run(Number(req.params.ms));
  const durationMs = performance.timeOrigin + performance.now() - startedMs;
  const after = reading();
  req.res.once('finish', () => {
    known.push({
      route: req.route.path,
      functionName: run.name,
      startedMs,
      durationMs,
      heldAroundMs: heldMs(req.arrived, before) + heldMs(after, reading()),
    });
  });
}

profiler.start().then(() => {
  const app = express();
  app.use((req, _res, next) => {
    req.arrived = reading();
    next();
  });
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
