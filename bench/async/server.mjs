// One server under load: `node server.mjs FRAMEWORK CONFIG`, where CONFIG is JSON, or `null` for no profiler at all. Tells its port;
// on 'cpu' it tells the CPU that the process has used, in microseconds.
import { createServer } from 'node:http';
import { getProfiler } from '@loopprof/core';
import { profilingMiddleware } from '@loopprof/express';
import { profilerPlugin } from '@loopprof/fastify';
import { profilingMiddleware as koaMiddleware } from '@loopprof/koa';
import express from 'express';
import fastify from 'fastify';
import Koa from 'koa';
import Router from '@koa/router';

const [framework, text] = process.argv.slice(2);
const config = JSON.parse(text);
if (config) getProfiler({ ...config, httpAddr: '127.0.0.1:0' });
const userOf = (id) => ({ id, name: `user ${id}`, email: `${id}@example.com` });

const builders = {
  express: () => {
    const app = express();
    if (config) app.use(profilingMiddleware());
    app.get('/users/:id', (req, res) => void res.json(userOf(req.params.id)));
    return createServer(app);
  },
  koa: () => {
    const app = new Koa();
    const router = new Router();
    if (config) app.use(koaMiddleware());
    router.get('/users/:id', (context) => void (context.body = userOf(context.params.id)));
    return createServer(app.use(router.routes()).callback());
  },
  fastify: async () => {
    const app = fastify();
    if (config) await app.register(profilerPlugin);
    app.get('/users/:id', (request) => userOf(request.params.id));
    await app.ready();
    return app.server;
  },
};

const server = await builders[framework]();
server.listen(0, '127.0.0.1', () => {
  const { user, system } = process.cpuUsage();
  process.send({ port: server.address().port, cpuMicros: user + system });
});
process.on('message', () => {
  const { user, system } = process.cpuUsage();
  process.send({ cpuMicros: user + system });
});
process.on('disconnect', () => process.exit());
