// Serves an app and asks it for one URL over and over, then prints how many answers there were, how many the profiler has counted, how often
// garbage was collected and how much of it had come to be among the old objects before: argv is a plan as JSON, { framework, config
// (null: no profiler), requests }.
const { createServer } = require('node:http');
const { connect } = require('node:net');
const { PerformanceObserver } = require('node:perf_hooks');
const { getHeapSpaceStatistics } = require('node:v8');
const { Profiler } = require('@loopprof/core');

const CONNECTIONS = 16;
const REQUEST = 'GET /users/7 HTTP/1.1\r\nHost: localhost\r\n\r\n';
const { framework, config, requests } = JSON.parse(process.argv[2]);

const apps = {
  express(profiler) {
    const app = require('express')();
    if (profiler) app.use(require('@loopprof/express').profilingMiddleware({ profiler }));
    app.get('/users/:id', (req, res) => res.json({ id: req.params.id }));
    return app;
  },
  koa(profiler) {
    const app = new (require('koa'))();
    const router = new (require('@koa/router'))();
    if (profiler) app.use(require('@loopprof/koa').profilingMiddleware({ profiler }));
    router.get('/users/:id', (ctx) => (ctx.body = { id: ctx.params.id }));
    return app.use(router.routes()).callback();
  },
};

let answers = 0;

function ask(port, count) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1').setNoDelay(true).on('error', reject).on('close', resolve);
    const next = () => (count-- > 0 ? socket.write(REQUEST) : socket.destroy());
    socket.on('data', (chunk) => {
      if (chunk.toString('latin1', 0, 12) === 'HTTP/1.1 200') answers += 1;
      next();
    });
    next();
  });
}

const oldBytes = () =>
  getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space').space_used_size;

(async () => {
  const profiler = config && new Profiler({ enableHTTP: false, ...config });
  await profiler?.start();
  const server = createServer(apps[framework](profiler));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  // What has come to be among the old objects, whether or not it was collected there since.
  let agedBytes = 0;
  let before = oldBytes();
  let collections = 0;
  const observer = new PerformanceObserver((list) => {
    const now = oldBytes();
    agedBytes += Math.max(0, now - before);
    before = now;
    collections += list.getEntries().length;
  });
  observer.observe({ entryTypes: ['gc'] });
  await Promise.all(Array.from({ length: CONNECTIONS }, () => ask(port, requests / CONNECTIONS)));
  const garbage = { answers, collections, agedBytesPerRequest: agedBytes / requests };
  const report = profiler && (await (await fetch(`http://127.0.0.1:${port}/debug/pprof/requests`)).json());
  console.log(JSON.stringify({ ...garbage, series: report?.series }));
  process.exit();
})();
