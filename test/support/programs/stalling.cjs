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
/** The first part is before the head of the answer, the second after it. */
function writeInParts(ms, res) {
  const first = work(ms / 2);
  res.write('in parts: ');
  return first + work(ms / 2);
}

/** How long this thread has been ready to run without being let. */
function runDelayMs() {
  return Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[1]) / 1e6;
}

/** A callback is about to be at work: its own clock, and how long others have had the core. */
function beginning(delayMs = runDelayMs()) {
  return { delayMs, beganMs: performance.now() };
}

/**
 * Runs it, and answers; remembers how long the callback really took from that beginning to the end of its promise jobs, and how
 * long others had the core between the clock here and what is nearest to it of the profiler's.
 */
function stall(req, run, { delayMs, beganMs }) {
  const heldBeforeMs = runDelayMs() - delayMs;
  run(Number(req.params.ms), req.res);
  req.res.end(run.name);
  const sentDelayMs = runDelayMs();
  queueMicrotask(() => {
    const durationMs = performance.now() - beganMs;
    known.push({
      route: req.route.path,
      functionName: run.name,
      startedMs: performance.timeOrigin + beganMs,
      durationMs,
      heldAroundMs: heldBeforeMs + runDelayMs() - sentDelayMs,
    });
  });
}

profiler.start().then(() => {
  const app = express();
  app.use((req, _res, next) => {
    req.beginning = beginning();
    next();
  });
  app.use(profilingMiddleware({ profiler, access: 'loopback' }));
  app.get('/report/:ms', (req) => stall(req, renderReport, req.beginning));
  app.get('/orders/:ms', async (req) => {
    // What the loop does between one mark and the next without having been idle may be one callback.
    const delayMs = runDelayMs();
    await new Promise((resolve) => setTimeout(resolve, 5));
    stall(req, sortOrders, beginning(delayMs));
  });
  app.get('/rules/:ms', async (req) => {
    await Promise.resolve();
    stall(req, checkRules, req.beginning);
  });
  app.get('/parts/:ms', (req) => stall(req, writeInParts, req.beginning));
  app.get('/light', (_req, res) => {
    work(0.3);
    res.send('light');
  });
  app.get('/known', (_req, res) => res.json(known));
  const server = app.listen(0, '127.0.0.1', () => {
    console.log(`${profiler.address} http://127.0.0.1:${server.address().port}`);
  });
});
