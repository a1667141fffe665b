/**
 * The `Server-Timing` header is added to what the app says itself, in whatever form it gives its headers, and nothing else of the
 * response changes: every case is asked of an app with loopprof and of the same app without, and the bytes are compared.
 */
import type { RequestListener, ServerResponse } from 'node:http';
import Router from '@koa/router';
import { Profiler } from '@loopprof/core';
import { profilingMiddleware as expressMiddleware } from '@loopprof/express';
import { profilerPlugin } from '@loopprof/fastify';
import { profilingMiddleware as koaMiddleware } from '@loopprof/koa';
import express5 from 'express';
import Fastify from 'fastify';
import Koa from 'koa';
import { listen, type Listening } from '../support/listen.js';
import { converse } from '../support/raw.js';

// The aliases have no types of their own; the calls made here are the same in both versions.
// eslint-disable-next-line @typescript-eslint/no-require-imports
const express4 = require('express4') as typeof express5;
// eslint-disable-next-line @typescript-eslint/no-require-imports
const Koa2 = require('koa2') as typeof Koa;

const OWN = 'db;dur=5';

type Head = readonly unknown[];

/** writeHead with arguments that its types do not know, but Node does. */
const writeHead = (res: ServerResponse, ...args: Head): ServerResponse =>
  (res as unknown as { writeHead(...args: Head): ServerResponse }).writeHead(...args);

const withoutPrototype = Object.assign(Object.create(null) as object, { 'Server-Timing': OWN, 'X-A': '1' });

/** Heads that say something of the app's own timing. */
const TIMED: Record<string, (res: ServerResponse) => unknown> = {
  'set before': (res) => res.setHeader('server-timing', OWN),
  'set before, twice': (res) => res.setHeader('Server-Timing', ['cache;desc=hit', OWN]),
  'set before, others given': (res) => writeHead(res.setHeader('Server-Timing', OWN), 200, { 'X-A': '1' }),
  'set before, others in a list': (res) =>
    writeHead(res.setHeader('Server-Timing', OWN), 200, ['X-A', '1', 'X-B', '2']),
  'set before, another given': (res) =>
    writeHead(res.setHeader('Server-Timing', 'old;dur=1'), 200, { 'server-timing': OWN }),
  'set before, another in a list': (res) =>
    writeHead(res.setHeader('Server-Timing', 'old;dur=1'), 200, ['Server-Timing', OWN]),
  'an object': (res) => writeHead(res, 200, { 'X-A': '1', 'Server-Timing': OWN, 'x-b': ['2', '3'] }),
  'an object, twice': (res) => writeHead(res, 200, { 'server-timing': ['cache;desc=hit', OWN] }),
  'an object without prototype': (res) => writeHead(res, 200, withoutPrototype),
  'a reason and an object': (res) => writeHead(res, 299, 'Quite Fine', { 'SERVER-TIMING': OWN }),
  'a list': (res) => writeHead(res, 200, ['X-A', '1', 'server-timing', OWN, 'x-a', '2']),
  'a list, twice': (res) => writeHead(res, 200, ['Server-Timing', 'cache;desc=hit', 'Server-Timing', OWN]),
  'a reason and a list': (res) => writeHead(res, 299, 'Quite Fine', ['Server-Timing', OWN]),
  pairs: (res) =>
    writeHead(res, 200, [
      ['X-A', '1'],
      ['Server-Timing', OWN],
      ['X-A', '2'],
    ]),
};

const UNTIMED: Record<string, (res: ServerResponse) => unknown> = {
  nothing: () => {},
  'set before': (res) => res.setHeader('X-A', ['1', '2']),
  'a status': (res) => writeHead(res, 201),
  'a status without a body': (res) => writeHead(res, 204),
  'a status and nothing': (res) => writeHead(res, 201, undefined, undefined),
  'a reason': (res) => writeHead(res, 299, 'Quite Fine'),
  'an object': (res) => writeHead(res, 200, { 'x-A': '1', 'X-b': ['2', '3'], 'set-cookie': ['c', 'd'] }),
  'a reason that is none, and an object': (res) => writeHead(res, 200, undefined, { 'X-A': '1' }),
  'an object over what was set': (res) => writeHead(res.setHeader('X-A', '1'), 200, { 'x-a': '2' }),
  'a list': (res) => writeHead(res, 200, ['X-A', '1', 'x-a', '2', 'Server-Time', 'late']),
  'an empty list': (res) => writeHead(res, 200, []),
  pairs: (res) =>
    writeHead(res, 200, [
      ['X-A', '1'],
      ['x-a', '2'],
    ]),
  'pairs where something was set, which Node refuses, and another': (res) => {
    res.setHeader('X-A', '1');
    expect(() => writeHead(res, 200, [['X-A', '2']])).toThrow();
    writeHead(res, 500, { 'X-A': '3' });
  },
  'a head that Node refuses, and another': (res) => {
    expect(() => writeHead(res, 200, { 'bad name': 'x' })).toThrow('bad name');
    writeHead(res, 500, { 'X-A': '1' });
  },
  'no date': (res) => void (res.sendDate = false),
  'a flush': (res) => res.flushHeaders(),
};

type Answer = (path: string, res: ServerResponse) => void;
type Build = (profiler: Profiler | undefined, answer: Answer) => RequestListener | Promise<RequestListener>;

const expressApp =
  (express: typeof express5): Build =>
  (profiler, answer) => {
    const app = express();
    // Nothing is set then before the handler sets it.
    app.disable('x-powered-by');
    if (profiler) app.use(expressMiddleware({ profiler }));
    app.get('/:head', (req, res) => answer(req.originalUrl, res));
    return app;
  };

const koaApp =
  (KoaVersion: typeof Koa): Build =>
  (profiler, answer) => {
    const app = new KoaVersion();
    if (profiler) app.use(koaMiddleware({ profiler }));
    const router = new Router();
    router.get('/:head', (ctx) => {
      ctx.respond = false;
      ctx.res.statusCode = 200;
      answer(ctx.originalUrl, ctx.res);
    });
    app.use(router.routes());
    const callback = app.callback();
    return (req, res) => void callback(req, res);
  };

const fastifyApp: Build = async (profiler, answer) => {
  const app = Fastify();
  if (profiler) await app.register(profilerPlugin, { profiler });
  app.get('/:head', (request, reply) => {
    reply.hijack();
    answer(request.originalUrl, reply.raw);
  });
  await app.ready();
  return (req, res) => void app.routing(req, res);
};

const plainApp: Build = (profiler, answer) => (req, res) => {
  profiler?.beginRequest(req, res);
  answer(req.url ?? '', res);
};

const OURS =
  /^Server-Timing: app;dur=[\d.]+, loop;desc="event loop blocked";dur=[\d.]+, gc;dur=[\d.]+\r\n/gim;

describe.each<[string, Build]>([
  ['Express 5', expressApp(express5)],
  ['Express 4', expressApp(express4)],
  ['Koa 3', koaApp(Koa)],
  ['Koa 2', koaApp(Koa2)],
  ['Fastify', fastifyApp],
  ['node:http', plainApp],
])('in %s', (_name, build) => {
  const profiler = new Profiler({
    enableHTTP: false,
    enableCPU: false,
    enableMemory: false,
    sidecar: false,
    serverTiming: true,
  });
  const apps: Listening[] = [];
  const forms = [...Object.entries(TIMED), ...Object.entries(UNTIMED)];

  beforeAll(async () => {
    await profiler.start();
    const answer: Answer = (path, res) => {
      forms[Number(path.slice(1))]?.[1](res);
      res.end('x');
    };
    for (const given of [undefined, profiler]) apps.push(await listen(await build(given, answer)));
  });
  afterAll(async () => {
    await Promise.all(apps.map((app) => app.close()));
    await profiler.stop();
  });

  it.each(forms.map(([form], index) => [form, index] as const))('%s', async (_form, index) => {
    const [without = '', having = ''] = await Promise.all(
      apps.map(async (app) => {
        const request = `GET /${index} HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n`;
        return (await converse(app.port, request)).replace(/^Date: .*$/m, 'Date: now');
      }),
    );
    expect(having.match(OURS)).toHaveLength(1);
    expect(having.replace(OURS, '')).toBe(without);
    const timed = index < Object.keys(TIMED).length;
    expect(/^Server-Timing: db;dur=5\r$/im.test(without)).toBe(timed);
    if (timed) expect(having.search(OURS)).toBeGreaterThan(having.search(/^Server-Timing: db/im));
  });
});
