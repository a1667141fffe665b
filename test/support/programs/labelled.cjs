// An Express, Koa or Fastify app (argv[2]) whose route /three/:id burns three times the CPU of /one/:id, in pieces with awaits
// and timers in between; prints its URL. It drives itself, several requests at a time; with argv[4], other routes of Express instead.
const { setTimeout: sleep } = require('node:timers/promises');
const { withLabels } = require('@loopprof/core');

const [framework = 'express', labels = 'auto', more] = process.argv.slice(2);
const options = {
  engine: process.env.ENGINE,
  labels: labels === 'auto' ? 'auto' : labels === 'true',
  access: 'loopback',
  // So many looks that a window of some seconds tells shares apart.
  cpuSampleIntervalMicros: 2000,
};

// By work, not by the clock, of which a busy machine gives unequal shares. A unit is about a millisecond, and a request much more than what else is done for it.
function burn(units) {
  let sum = 0;
  for (let n = 0; n < units * 500_000; n++) sum += Math.sqrt(n);
  return sum;
}
async function inPieces(units) {
  burn(units);
  await null;
  burn(units);
  await sleep(1);
  burn(units);
  await new Promise((resolve) => setImmediate(resolve));
  withLabels({ tenant: 'acme' }, () => burn(units));
  return 'done';
}
/** What is done for a request before its route is known, such as reading its body. */
async function checkFirst(_req, _res, next) {
  await sleep(1);
  burn(6);
  next();
}
function makeGarbage() {
  const kept = [];
  for (let n = 0; n < 200_000; n++) kept[n % 20_000] = { n, text: [n, { n }] };
  return String(kept.length);
}
const three = () => inPieces(12);
const one = () => inPieces(4);

const start = {
  async express() {
    const { profilingMiddleware } = require('@loopprof/express');
    const app = require('express')();
    app.use(profilingMiddleware(options));
    app.use('/checked', (req, res, next) => checkFirst(req, res, next));
    app.get('/three/:id', async (_req, res) => res.send(await three()));
    app.get('/one/:id', async (_req, res) => res.send(await one()));
    app.post('/checked', (_req, res) => res.send('checked'));
    app.get('/garbage', (_req, res) => res.send(makeGarbage()));
    const server = app.listen(0);
    return server.address().port;
  },
  async koa() {
    const { profilingMiddleware } = require('@loopprof/koa');
    const { Router } = require('@koa/router');
    const app = new (require('koa'))();
    const router = new Router();
    // Koa makes text of it when it answers.
    const answer = (units) => ({ toJSON: () => burn(units) });
    router.get('/three/:id', async (ctx) => {
      await three();
      ctx.body = answer(12);
    });
    router.get('/one/:id', async (ctx) => {
      await one();
      ctx.body = answer(4);
    });
    app.use(profilingMiddleware(options));
    // What parses bodies and reads sessions has all that follows happen in a job of its own.
    app.use(async (_ctx, next) => {
      await sleep(1);
      await next();
    });
    app.use(router.routes());
    return app.listen(0).address().port;
  },
  async fastify() {
    const { profilerPlugin } = require('@loopprof/fastify');
    const app = require('fastify')();
    await app.register(profilerPlugin, options);
    app.get('/three/:id', three);
    app.get('/one/:id', one);
    await app.listen({ port: 0 });
    return app.server.address().port;
  },
};

async function drive(url, path) {
  for (let id = 0; ; id++) await (await fetch(`${url}${path}/${id}`)).text();
}
async function driveMore(url) {
  for (;;) {
    await (await fetch(`${url}/checked`, { method: 'POST' })).text();
    await (await fetch(`${url}/garbage`)).text();
  }
}

start[framework]().then((port) => {
  const url = `http://127.0.0.1:${port}`;
  if (more) void driveMore(url);
  else for (const path of ['/three', '/one', '/three', '/one']) void drive(url, path);
  console.log(url);
});
