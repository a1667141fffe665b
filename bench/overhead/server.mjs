// One contestant's server in a process of its own: argv is the contestant and the framework. Tells its port, and at every mark the
// CPU that the process has used so far, in microseconds: its threads included. To age it needs --expose-gc.
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { contestants } from './contestants.mjs';

const require = createRequire(import.meta.url);
const [name, framework] = process.argv.slice(2);
const { install, use, counted } = contestants[name];

/** V8 keeps what nothing uses through two of them. */
const COLLECTIONS = 5;

const person = (id) => ({ id, name: 'Ada Lovelace', born: 1815, tags: ['analyst', 'poet'] });

const apps = {
  express(installed) {
    const app = require('express')();
    use?.(app, installed, framework);
    app.get('/users/:id', (req, res) => res.json(person(req.params.id)));
    return { app, listener: app };
  },
  koa(installed) {
    const Koa = require('koa');
    const Router = require('@koa/router');
    const app = new Koa();
    use?.(app, installed, framework);
    const router = new Router();
    router.get('/users/:id', (ctx) => {
      ctx.body = person(ctx.params.id);
    });
    app.use(router.routes());
    return { app, listener: app.callback() };
  },
  async fastify(installed) {
    const app = require('fastify')();
    await use?.(app, installed, framework);
    app.get('/users/:id', (request) => person(request.params.id));
    await app.ready();
    return { app, listener: (req, res) => app.routing(req, res) };
  },
};

const installed = await install?.();
const { app, listener } = await apps[framework](installed);
const { createServer } = require('node:http');
const server = createServer(listener);
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port, node: process.version }));

/** Full collections while nobody asks for anything, as a process goes through in its quiet times. */
async function age() {
  for (let n = 0; n < COLLECTIONS; n++) {
    await sleep(100);
    await globalThis.gc({ type: 'major', execution: 'async' });
  }
}

process.on('message', async (message) => {
  if (message === 'mark') {
    const { user, system } = process.cpuUsage();
    process.send({ cpuMicros: user + system });
  } else if (message === 'age') {
    await age();
    process.send({});
  } else process.send({ counted: await counted?.(installed, app) });
});
process.on('disconnect', () => process.exit());
