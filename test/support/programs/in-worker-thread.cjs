// A profiler in a worker thread of the app. Prints what it logged and what its mounted routes answer, as JSON.
const { createServer } = require('node:http');
const { isMainThread, parentPort, Worker } = require('node:worker_threads');

async function profile() {
  const { pathBelow, pathOf, Profiler, servePprof } = require('@loopprof/core');
  const logged = [];
  const at = (level) => (_details, message) => logged.push(`${level}: ${message}`);
  const logger = { debug() {}, info() {}, warn: at('warn'), error: at('error') };
  const profiler = new Profiler({ httpAddr: 'localhost:0' }, logger);
  await profiler.start();
  const handler = profiler.createHandler();
  const server = createServer((req, res) =>
    servePprof(handler, { req, res }, { path: pathBelow(pathOf(req.url), '/debug/pprof'), url: req.url }),
  );
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const statuses = {};
  for (const path of ['', 'profile?seconds=1', 'heap', 'runtime', 'stalls', 'stack']) {
    const response = await fetch(`http://127.0.0.1:${server.address().port}/debug/pprof/${path}`);
    await response.arrayBuffer();
    statuses[path] = response.status;
  }
  await profiler.stop();
  server.close();
  server.closeAllConnections();
  parentPort.postMessage({ logged, statuses, address: profiler.address ?? null });
}

if (isMainThread) {
  const worker = new Worker(__filename);
  worker.once('message', (told) => console.log(JSON.stringify(told)));
} else profile();
