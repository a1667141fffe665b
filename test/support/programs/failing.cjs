// An Express app whose profiler fails in the way that argv[2] names. Prints its URL and the index page's; whatever reaches the app
// itself is printed too, and ends the process with 70. A line on stdin ends it well.
const express = require('express');
const time = require('@datadog/pprof/out/src/time-profiler-bindings');
const heap = require('@datadog/pprof/out/src/heap-profiler-bindings');
const { Profiler } = require('@loopprof/core');
const { profilingMiddleware } = require('@loopprof/express');

const fail = () => {
  throw new Error('out of luck in native code');
};
const FAILURES = {
  'the sampler does not start': () => (time.TimeProfiler.prototype.start = fail),
  'a harvest fails': () => {
    const { stopAndCollect } = time.TimeProfiler.prototype;
    let calls = 0;
    time.TimeProfiler.prototype.stopAndCollect = function (...args) {
      calls += 1;
      return calls > 2 ? fail() : stopAndCollect.apply(this, args);
    };
  },
  'samples are not what they were': () => {
    time.TimeProfiler.prototype.stopAndCollect = (restart, convert) => convert({ topDownRoot: null });
  },
  'the heap cannot be read': () => (heap.mapAllocationProfile = fail),
  'the logger fails': () => {},
};
FAILURES[process.argv[2]]();

for (const event of ['uncaughtException', 'unhandledRejection', 'warning']) {
  process.on(event, (what) => {
    console.log(event, what);
    process.exit(70);
  });
}

const logged = [];
const at = (level) => (details, message) => {
  if (process.argv[2] === 'the logger fails') fail();
  logged.push(`${level}: ${message}`);
};
const logger = { debug() {}, info: at('info'), warn: at('warn'), error: at('error') };

async function main() {
  const config = { httpAddr: 'localhost:0', engine: 'datadog', sidecar: process.argv[3] !== 'no sidecar' };
  const profiler = new Profiler({ ...config, hangThresholdMs: 60_000 }, logger);
  await profiler.start();
  const app = express().use(profilingMiddleware({ profiler, access: 'loopback' }));
  app.get('/', (_req, res) => res.send('the app'));
  app.get('/logged', (_req, res) => res.json(logged));
  const server = app.listen(0, '127.0.0.1', () =>
    console.log(`http://127.0.0.1:${server.address().port}`, profiler.address),
  );
  process.stdin.once('data', async () => {
    await profiler.stop();
    server.close();
    server.closeAllConnections();
    process.stdin.destroy();
  });
}
main();
