// Starts and stops a profiler again and again while requests are labelled, and has collected what is left of it; prints how often, and
// how many are kept for labels of theirs that are still there.
const { once } = require('node:events');
const { setImmediate, setTimeout: sleep } = require('node:timers/promises');
const { setFlagsFromString } = require('node:v8');
const { runInNewContext } = require('node:vm');
const { Profiler } = require('@loopprof/core');
const { profilingMiddleware } = require('@loopprof/express');
const express = require('express');

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc');
const ROUNDS = 8;
const ROUTES = ['/a', '/b', '/c', '/d', '/e', '/f'];

async function round() {
  const profiler = new Profiler({ enableHTTP: false, writeOnStop: false, sidecar: false });
  await profiler.start();
  const app = express();
  app.use(profilingMiddleware({ profiler }));
  for (const route of ROUTES) app.get(route, (_req, res) => globalThis.setTimeout(() => res.send('done'), 1));
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${server.address().port}`;
  for (let n = 0; n < 3; n++)
    await Promise.all(ROUTES.map(async (route) => (await fetch(url + route)).text()));
  server.close();
  server.closeAllConnections();
  await profiler.stop();
}

async function main() {
  for (let n = 0; n < ROUNDS; n++) {
    await round();
    gc();
    await setImmediate();
    gc();
    await sleep(5);
    gc();
  }
  console.log(ROUNDS, globalThis[Symbol.for('loopprof.outlived')]?.size ?? 0);
}
main();
