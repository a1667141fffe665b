// Four holders of one recorder: two profilers, an Express middleware, and a profiler of a second installed copy, whose folder is
// argv[2]. They stop one by one, the first one first. A second app is measured by both copies of the middleware. Prints what each
// saw, as JSON.
const { once } = require('node:events');
const { createRequire } = require('node:module');
const { join } = require('node:path');
const express = require('express');
const core = require('@loopprof/core');
const { profilingMiddleware } = require('@loopprof/express');

const requireCopy = createRequire(join(process.argv[2], 'any.js'));
const copy = requireCopy('@loopprof/core');
const copied = requireCopy('@loopprof/express');

const logged = [];
const loggerOf = (holder) => {
  const at = (level) => (details, message) => logged.push({ holder, level, message });
  return { debug: () => {}, info: () => {}, warn: at('warn'), error: at('error') };
};

async function ask(base) {
  const [cpu, heap] = await Promise.all(
    ['profile?seconds=1', 'heap'].map(async (path) => {
      const response = await fetch(base + path);
      return { status: response.status, body: Buffer.from(await response.arrayBuffer()).toString('base64') };
    }),
  );
  return { cpu, heap };
}

/** Asks an app that both copies measure five times, and both what they have counted. */
async function countTwice() {
  const options = { access: 'loopback', memorySampleBytes: 65_536 };
  const app = express()
    .use(profilingMiddleware(options))
    .use(copied.profilingMiddleware({ ...options, path: '/of/the/copy' }))
    .get('/counted/:id', (req, res) => res.send('counted'));
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const base = `http://127.0.0.1:${server.address().port}`;
  for (let id = 0; id < 5; id++) await (await fetch(`${base}/counted/${id}`)).text();
  const counts = [];
  for (const mount of ['/debug/pprof', '/of/the/copy']) {
    let own = [];
    // A request is counted a moment after its answer is there.
    for (let attempt = 0; attempt < 100 && !(own[0] >= 5); attempt++) {
      const { series } = await (await fetch(`${base}${mount}/requests`)).json();
      own = series.filter(({ route }) => route === '/counted/:id').map(({ count }) => count);
    }
    counts.push(own);
  }
  server.close();
  server.closeAllConnections();
  return counts;
}

async function main() {
  const first = new core.Profiler({ httpAddr: 'localhost:0', memorySampleBytes: 65_536 }, loggerOf('first'));
  await first.start();
  const second = new core.Profiler(
    { httpAddr: 'localhost:0', memorySampleBytes: 65_536, cpuSampleIntervalMicros: 20_000 },
    loggerOf('second'),
  );
  await second.start();
  const app = express().use(
    profilingMiddleware({ logger: loggerOf('middleware'), memorySampleBytes: 65_536, access: 'loopback' }),
  );
  profilingMiddleware({
    logger: loggerOf('second middleware'),
    maxSeconds: 10,
    memorySampleBytes: 65_536,
    access: 'loopback',
  });
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const other = new copy.Profiler({ httpAddr: 'localhost:0', memorySampleBytes: 131_072 }, loggerOf('copy'));
  await other.start();

  const holders = {
    first: { base: first.address, stop: () => first.stop() },
    second: { base: second.address, stop: () => second.stop() },
    middleware: {
      base: `http://127.0.0.1:${server.address().port}/debug/pprof/`,
      stop: () => core.getProfiler().stop(),
    },
    copy: { base: other.address, stop: () => other.stop() },
  };
  const answers = { all: {}, afterStop: {} };
  await Promise.all(
    Object.entries(holders).map(async ([name, { base }]) => {
      answers.all[name] = await ask(base);
    }),
  );
  const counts = await countTwice();
  await first.stop();
  await second.stop();
  answers.afterStop.middleware = await ask(holders.middleware.base);
  await holders.middleware.stop();
  await copy.getProfiler().stop();
  answers.afterStop.copy = await ask(holders.copy.base);
  await other.stop();

  // V8 allows one such profiler per thread: that this starts shows that ours has stopped.
  const { time } = require('@datadog/pprof');
  time.start({ durationMillis: 1000, intervalMicros: 10_000 });
  time.stop();

  await second.start();
  answers.again = await ask(second.address);
  await second.stop();

  server.close();
  server.closeAllConnections();
  console.log(JSON.stringify({ copies: copy.Profiler === core.Profiler ? 1 : 2, answers, counts, logged }));
}
main();
