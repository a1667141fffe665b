'use strict';

const { subscribe } = require('node:diagnostics_channel');
const { Router } = require('@koa/router');
const { profilingMiddleware } = require('@loopprof/koa');
const Koa = require('koa');
const log = require('pino')();
const cities = require('../data/cities.json');

const router = new Router();
const app = new Koa().use(profilingMiddleware()).use(router.routes());

// Published a little after the end of a request, when it is known how long it has waited for others.
subscribe('loopprof:request', ({ method, route, statusCode, startedAtMs, endedAtMs, eventLoopBlockedMs }) => {
  log.info({ method, route, status: statusCode, ms: endedAtMs - startedAtMs, eventLoopBlockedMs }, 'request');
});

router.get('/tours/:city', (ctx) => {
  const start = cities.find(({ name }) => name === ctx.params.city) ?? ctx.throw(404, 'no such city');
  ctx.body = shorten([start, ...cities.filter((city) => city !== start), start]).map(({ name }) => name);
});

// Turns parts of a trip around for as long as that makes it shorter.
function shorten(trip) {
  for (let from = 1; from < trip.length; from++) {
    for (let to = from + 2; to < trip.length; to++) {
      const turned = [...trip.slice(0, from), ...trip.slice(from, to).reverse(), ...trip.slice(to)];
      const ends = (stops) => distance(stops[from - 1], stops[from]) + distance(stops[to - 1], stops[to]);
      if (ends(turned) < ends(trip) - 0.001) return shorten(turned);
    }
  }
  return trip;
}

// In degrees of latitude, of which one of longitude is two thirds in the middle of Europe.
const distance = (a, b) => Math.hypot(a.lat - b.lat, 0.66 * (a.lon - b.lon));

const server = app.listen(process.env.PORT ?? 3000);
server.on('listening', () => console.log(`listening on http://localhost:${server.address().port}`));
