// An Express app with a route that blocks the loop, one that waits, one that makes garbage. Prints its URL, then one line of JSON
// per settled request, and for every block how long it really was. /totals gives what an observer of its own has counted.
const { subscribe } = require('node:diagnostics_channel');
const { PerformanceObserver } = require('node:perf_hooks');
const express = require('express');
const { getRequestTiming } = require('@loopprof/core');
const { profilingMiddleware } = require('@loopprof/express');

let gcMs = 0;
let gcCount = 0;
new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) {
    gcMs += duration;
    gcCount += 1;
  }
}).observe({ entryTypes: ['gc'] });

const app = express();
app.use(profilingMiddleware({ access: 'loopback', serverTiming: true, engine: process.env.ENGINE }));

let blockedMs = 0;
function block(durationMs) {
  const startedAt = performance.now();
  while (performance.now() - startedAt < durationMs);
  blockedMs = performance.now() - startedAt;
}

app.get('/block/:ms', (req, res) => {
  block(Number(req.params.ms));
  res.json({ blockedMs });
});
app.get('/block-later/:ms', async (req, res) => {
  await new Promise((resolve) => setTimeout(resolve, 20));
  block(Number(req.params.ms));
  res.json({ blockedMs });
});
app.get('/wait/:ms', (req, res) => void setTimeout(() => res.send('waited'), Number(req.params.ms)));
app.get('/garbage/:n', (req, res) => {
  let kept;
  for (let n = 0; n < Number(req.params.n); n++) kept = [n, { n }, String(n), kept?.[0]];
  res.json(kept.length);
});
app.get('/totals', (_req, res) => void res.json({ gcMs, gcCount }));
app.get('/timing', (req, res) => void res.json(getRequestTiming(req).route));

subscribe('loopprof:request', ({ method, route, statusCode, eventLoopBlockedMs, gcMs }) => {
  console.log(JSON.stringify({ method, route, statusCode, eventLoopBlockedMs, gcMs }));
});

const server = app.listen(0, () => console.log(`http://127.0.0.1:${server.address().port}`));
