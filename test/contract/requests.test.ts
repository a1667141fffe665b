/** What is counted for a request: the route's template, never a path, and how it ended. */
import { once } from 'node:events';
import { request as httpRequest, type RequestListener } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { connect, type AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import Router from '@koa/router';
import { getRequestTiming, Profiler } from '@loopprof/core';
import { profilingMiddleware as expressMiddleware } from '@loopprof/express';
import { profilerPlugin } from '@loopprof/fastify';
import { profilingMiddleware as koaMiddleware } from '@loopprof/koa';
import express5 from 'express';
import Fastify from 'fastify';
import Koa from 'koa';
import mount from 'koa-mount';
import { runToEnd } from '../support/child.js';
import { listen, type Listening } from '../support/listen.js';

// The alias has no types of its own; the calls made here are the same in both versions.
// eslint-disable-next-line @typescript-eslint/no-require-imports
const express4 = require('express4') as typeof express5;
// eslint-disable-next-line @typescript-eslint/no-require-imports
const Koa2 = require('koa2') as typeof Koa;

// eslint-disable-next-line @typescript-eslint/no-require-imports
const olderRouter = require('router22') as (typeof express5)['Router'];

/** Express 5 with the router of its first releases, which forgets the path that it was mounted at. */
const express50 = Object.assign(() => Object.defineProperty(express5(), 'router', { value: olderRouter() }), {
  Router: olderRouter,
}) as unknown as typeof express5;

interface Counted {
  method: string;
  route: string;
  statusClass: string;
  count: number;
  aborted: number;
  durationMs: { p50Ms: number; maxMs: number };
}

interface Report {
  series: Counted[];
  inFlightCount: number;
  overflowed: number;
}

let profiler: Profiler;
let app: Listening;

async function serve(
  build: (profiler: Profiler) => RequestListener | Promise<RequestListener>,
  config = {},
): Promise<void> {
  const off = { enableCPU: false, enableMemory: false, sidecar: false };
  profiler = new Profiler({ httpAddr: 'localhost:0', ...off, ...config });
  await profiler.start();
  app = await listen(await build(profiler));
}

afterEach(async () => {
  await app.close();
  await profiler.stop();
});

async function report(): Promise<Report> {
  const response = await fetch(`${profiler.address}requests`);
  expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
  return (await response.json()) as Report;
}

/** Waits until the server has seen the end of everything, then gives "METHOD route class count" of each series. */
async function counted(): Promise<string[]> {
  for (let attempt = 0; ; attempt++) {
    const { series, inFlightCount } = await report();
    if (inFlightCount === 0 || attempt === 100) {
      expect(inFlightCount).toBe(0);
      return series
        .map(({ method, route, statusClass, count }) => `${method} ${route} ${statusClass} ${count}`)
        .sort();
    }
    await sleep(20);
  }
}

async function send(path: string, method = 'GET'): Promise<void> {
  await (await fetch(app.origin + path, { method })).arrayBuffer();
}

function expressApp(express: typeof express5): (profiler: Profiler) => RequestListener {
  return (profiler) => {
    const root = express();
    root.use(expressMiddleware({ profiler }));
    root.use('/early', (_req, res) => void res.status(304).end());
    root.use('/broken', () => {
      throw new Error('before any route');
    });
    root.get('/users/:id', (req, res) => void res.json(req.params));
    root.get(['/one', '/two'], (_req, res) => void res.send('either'));
    root.get(/^\/files\/\d+$/, (_req, res) => void res.send('file'));
    root.get('/', (_req, res) => void res.send('root'));
    root.get('/own-404', (_req, res) => void res.status(404).send('mine'));
    root.get('/passed-on/:id', (_req, _res, next) => next());
    root.get('/throws', () => {
      throw new Error('sync');
    });
    root.get('/throws-text', () => {
      // eslint-disable-next-line @typescript-eslint/only-throw-error -- what is thrown need not be an error
      throw 'not an error';
    });
    root.get('/fails', (_req, _res, next) => void setImmediate(() => next(new Error('async'))));
    root.get('/stream', (_req, res) => void Readable.from(['some', 'more']).pipe(res));
    root
      .route('/both')
      .get((_req, res) => void res.send('get'))
      .post((_req, res) => void res.send('post'));
    root.use(
      ['/here', '/there/:place'],
      express.Router().get('/:item', (_req, res) => void res.send('item')),
    );
    const items = express.Router();
    items.get('/:item', (_req, res) => void res.send('item'));
    items.get('/', (_req, res) => void res.send('all'));
    const tenants = express.Router({ mergeParams: true });
    tenants.use('/:tenant/items', items);
    root.use('/api/:version', tenants);
    root.use('/shop', items);
    const sub = express();
    sub.get('/deep/:level', (_req, res) => void res.send('deep'));
    root.use('/sub/:lang', sub);
    root.use(/^\/by-pattern/, items);
    root.set('env', 'test');
    return root;
  };
}

const EXPRESS_CASES: [string, string][] = [
  ['/', 'GET / 2xx'],
  ['/users/7', 'GET /users/:id 2xx'],
  ['/users/7?q=1', 'GET /users/:id 2xx'],
  ['/one', 'GET /one|/two 2xx'],
  ['/two', 'GET /one|/two 2xx'],
  ['/files/42', 'GET /^\\/files\\/\\d+$/ 2xx'],
  ['/api/v1/acme/items/9', 'GET /api/:version/:tenant/items/:item 2xx'],
  ['/api/v2/v2/items', 'GET /api/:version/:tenant/items 2xx'],
  ['/shop/9', 'GET /shop/:item 2xx'],
  ['/sub/en/deep/3', 'GET /sub/:lang/deep/:level 2xx'],
  ['/early/anything/8', 'GET (unrouted) 3xx'],
  ['/broken/8', 'GET (unrouted) 5xx'],
  ['/own-404', 'GET /own-404 4xx'],
  ['/passed-on/8', 'GET (unmatched) 4xx'],
  ['/nowhere/8', 'GET (unmatched) 4xx'],
  ['/throws', 'GET /throws 5xx'],
  ['/throws-text', 'GET /throws-text 5xx'],
  ['/fails', 'GET /fails 5xx'],
  ['/stream', 'GET /stream 2xx'],
  ['/both', 'GET /both 2xx'],
  ['/here/9', 'GET /here/:item 2xx'],
  ['/there/x/9', 'GET /there/:place/:item 2xx'],
  ['/users/%ff', 'GET (unrouted) 4xx'],
];

describe.each([
  ['Express 5', express5],
  ['Express 5 with router 2.2', express50],
  ['Express 4', express4],
])('routes of %s', (_name, express) => {
  it.each(EXPRESS_CASES)('%s is %s', async (path, series) => {
    await serve(expressApp(express));
    await send(path);
    expect(await counted()).toEqual([`${series} 1`]);
  });

  it('shows a router mounted by a RegExp by its pattern or as unknown, never by the path', async () => {
    await serve(expressApp(express));
    await send('/by-pattern/9');
    const [series = ''] = await counted();
    expect(series).toMatch(/^GET (\/\^\\\/by-pattern\/|\/by-pattern|\/\*)\/:item 2xx 1$/);
  });

  it('tells the mounts of one router apart, in one app and in two, whatever the case', async () => {
    const shared = express.Router({ mergeParams: true });
    shared.get('/x', (_req, res) => void res.send('x'));
    await serve((profiler) => {
      const apps = ['/public', '/internal/:tenant/v1', '/'].map((path) => {
        const root = express();
        root.use(expressMiddleware({ profiler }));
        root.use(path, shared);
        root.use('/deep', express.Router().use('/er', shared));
        return root;
      });
      return (req, res) => void apps[Number(req.headers['x-app'])]?.(req, res);
    });
    const paths: [string, number][] = [
      ['/public/x', 0],
      ['/deep/er/x', 0],
      ['/PUBLIC/x', 0],
      ['/internal/acme/v1/x', 1],
      ['/internal/other/V1/x', 1],
      ['/deep/er/x', 1],
      ['/x', 2],
      ['/Deep/Er/x', 2],
    ];
    // In both orders: what was seen first must not stand for the others.
    for (const [path, index] of [...paths, ...paths.toReversed()])
      await (await fetch(app.origin + path, { headers: { 'x-app': String(index) } })).text();
    expect(await counted()).toEqual([
      'GET /deep/er/x 2xx 6',
      'GET /internal/:tenant/v1/x 2xx 4',
      'GET /public/x 2xx 4',
      'GET /x 2xx 2',
    ]);
  });

  it('sees a mount that was added after the first request', async () => {
    const shared = express.Router();
    shared.get('/:item', (_req, res) => void res.send('item'));
    const root = express();
    await serve((profiler) => root.use(expressMiddleware({ profiler })).use('/first', shared));
    await send('/first/1');
    root.use('/second', shared);
    await send('/second/1');
    await send('/first/1');
    expect(await counted()).toEqual(['GET /first/:item 2xx 2', 'GET /second/:item 2xx 1']);
  });

  it('names what is reached by a function that calls an app or a router, as far as it can be known', async () => {
    await serve((profiler) => {
      const root = express();
      root.use(expressMiddleware({ profiler }));
      const version = express();
      version.get('/users/:id', (_req, res) => void res.send('user'));
      root.use('/v1', (req, res, next) => version(req, res, next));
      const things = express.Router();
      things.get('/things/:id', (_req, res) => void res.send('thing'));
      root.use('/lazy', (req, res, next) => things(req, res, next));
      root.use('/mounted', things);
      return root;
    });
    for (const path of ['/v1/users/1', '/v1/users/2', '/lazy/things/3', '/mounted/things/4'])
      await send(path);
    expect(await counted()).toEqual([
      'GET /*/things/:id 2xx 1',
      'GET /*/users/:id 2xx 2',
      'GET /mounted/things/:id 2xx 1',
    ]);
  });

  it('never takes what a mount has matched for its name', async () => {
    await serve(expressApp(express));
    for (const path of ['/SHOP/3', '/sHoP/4', '/Shop/5', '/API/V1/x/ITEMS/5']) await send(path);
    expect(await counted()).toEqual(['GET /api/:version/:tenant/items/:item 2xx 1', 'GET /shop/:item 2xx 3']);
  });

  it('answers HEAD by the GET route, and OPTIONS without one', async () => {
    await serve(expressApp(express));
    await send('/users/7', 'HEAD');
    await send('/users/7', 'OPTIONS');
    expect(await counted()).toEqual(['HEAD /users/:id 2xx 1', 'OPTIONS (unrouted) 2xx 1']);
  });
});

describe.each([
  ['Koa 3', Koa],
  ['Koa 2', Koa2],
])('routes of %s', (_name, KoaVersion) => {
  const koaApp = (profiler: Profiler): RequestListener => {
    const root = new KoaVersion();
    root.silent = true;
    root.use(koaMiddleware({ profiler }));
    root.use((ctx, next) => {
      if (ctx.path === '/early') ctx.status = 304;
      else if (ctx.path === '/broken') throw new Error('before any route');
      else return next();
    });
    const items = new Router();
    items.get('/:item', (ctx) => void (ctx.body = 'item'));
    const router = new Router();
    router.get('/users/:id', (ctx) => void (ctx.body = ctx['params']));
    router.get(/^\/files\/\d+$/, (ctx) => void (ctx.body = 'file'));
    router.get('/own-404', (ctx) => ctx.throw(404));
    router.get('/passed-on/:id', (_ctx, next) => next());
    router.get('/throws', () => {
      throw new Error('sync');
    });
    router.get('/throws-text', () => {
      // eslint-disable-next-line @typescript-eslint/only-throw-error -- what is thrown need not be an error
      throw 'not an error';
    });
    router.get('/rejects', async () => {
      await sleep(5);
      throw new Error('later');
    });
    router.get(['/one', '/two'], (ctx) => void (ctx.body = 'either'));
    router.get('/stream', (ctx) => void (ctx.body = Readable.from(['some', 'more'])));
    router.use('/api/:version/:tenant/items', items.routes());
    router.use('/guarded', (ctx, next) => (ctx.query['as'] ? next() : ctx.throw(401)));
    router.get('/guarded/:id', (ctx) => void (ctx.body = 'guarded'));
    router.get('/through/:id', (ctx) => void (ctx.body = 'through'));
    root.use(mount('/through', (_ctx: Koa.Context, next: Koa.Next) => next()));
    root.use(router.routes());
    root.use(router.allowedMethods());
    const mounted = new KoaVersion();
    const inner = new Router();
    inner.get('/deep/:level', (ctx) => void (ctx.body = 'deep'));
    mounted.use(inner.routes());
    root.use(mount('/sub', mounted));
    const outer = new KoaVersion();
    outer.use(mount('/v1', mounted));
    root.use(mount('/outer', outer));
    const callback = root.callback();
    return (req, res) => void callback(req, res);
  };

  it.each([
    ['/users/7', 'GET /users/:id 2xx'],
    ['/files/42', 'GET /^\\/files\\/\\d+$/ 2xx'],
    ['/api/v1/acme/items/9', 'GET /api/:version/:tenant/items/:item 2xx'],
    ['/sub/deep/3', 'GET /sub/deep/:level 2xx'],
    ['/outer/v1/deep/3', 'GET /outer/v1/deep/:level 2xx'],
    ['/through/4?of=/through', 'GET /through/:id 2xx'],
    ['/guarded/4?as=me', 'GET /guarded/:id 2xx'],
    ['/guarded/4', 'GET /guarded/:id 4xx'],
    ['/early', 'GET (unrouted) 3xx'],
    ['/broken', 'GET (unrouted) 5xx'],
    ['/own-404', 'GET /own-404 4xx'],
    ['/passed-on/8', 'GET (unmatched) 4xx'],
    ['/nowhere/8', 'GET (unmatched) 4xx'],
    ['/throws', 'GET /throws 5xx'],
    ['/throws-text', 'GET /throws-text 5xx'],
    ['/rejects', 'GET /rejects 5xx'],
    ['/one', 'GET /one 2xx'],
    ['/two', 'GET /two 2xx'],
    ['/stream', 'GET /stream 2xx'],
  ])('%s is %s', async (path, series) => {
    await serve(koaApp);
    await send(path);
    expect(await counted()).toEqual([`${series} 1`]);
  });

  it('answers HEAD by the GET route, and OPTIONS and other methods without one', async () => {
    await serve(koaApp);
    await send('/users/7', 'HEAD');
    await send('/users/7', 'OPTIONS');
    await send('/users/7', 'DELETE');
    expect(await counted()).toEqual([
      'DELETE (unrouted) 4xx 1',
      'HEAD /users/:id 2xx 1',
      'OPTIONS (unrouted) 2xx 1',
    ]);
  });
});

describe('routes of Fastify', () => {
  const fastifyApp = async (profiler: Profiler): Promise<RequestListener> => {
    const root = Fastify();
    await root.register(profilerPlugin, { profiler });
    root.addHook('onRequest', async (request, reply) => {
      if (request.url === '/early') return reply.code(304).send();
      if (request.url === '/broken') throw new Error('before the handler');
      return undefined;
    });
    root.get('/early', () => 'never');
    root.get('/broken', () => 'never');
    root.get('/users/:id', (request) => request.params);
    root.get('/throws', () => {
      throw new Error('sync');
    });
    root.get('/own-404', (_request, reply) => reply.code(404).send('mine'));
    root.get('/throws-text', () => {
      // eslint-disable-next-line @typescript-eslint/only-throw-error -- what is thrown need not be an error
      throw 'not an error';
    });
    root.get('/rejects', async () => {
      await sleep(5);
      throw new Error('later');
    });
    root.get('/stream', (_request, reply) => reply.send(Readable.from(['some', 'more'])));
    root.get('/files/:id(^\\d+$)', () => 'file');
    root.get('/static/*', () => 'static');
    await root.register(
      (child, _options, done) => {
        child.get('/:tenant/items/:item', () => 'item');
        done();
      },
      { prefix: '/api/:version' },
    );
    await root.ready();
    return (req, res) => void root.routing(req, res);
  };

  it.each([
    ['/users/7', 'GET /users/:id 2xx'],
    ['/api/v1/acme/items/9', 'GET /api/:version/:tenant/items/:item 2xx'],
    ['/early', 'GET /early 3xx'],
    ['/broken', 'GET /broken 5xx'],
    ['/own-404', 'GET /own-404 4xx'],
    ['/nowhere/8', 'GET (unmatched) 4xx'],
    ['/throws', 'GET /throws 5xx'],
    ['/throws-text', 'GET /throws-text 5xx'],
    ['/rejects', 'GET /rejects 5xx'],
    ['/stream', 'GET /stream 2xx'],
    ['/files/42', 'GET /files/:id(^\\d+$) 2xx'],
    ['/static/some/file.js', 'GET /static/* 2xx'],
  ])('%s is %s', async (path, series) => {
    await serve(fastifyApp);
    await send(path);
    expect(await counted()).toEqual([`${series} 1`]);
  });

  it('answers HEAD by the GET route, and OPTIONS by none', async () => {
    await serve(fastifyApp);
    await send('/users/7', 'HEAD');
    await send('/users/7', 'OPTIONS');
    expect(await counted()).toEqual(['HEAD /users/:id 2xx 1', 'OPTIONS (unmatched) 4xx 1']);
  });
});

it('takes a second registration with Fastify for what it is, and a path of the app for an error of register()', async () => {
  await serve(async (profiler) => {
    const root = Fastify();
    await root.register(profilerPlugin, { profiler });
    await root.register((child) => child.register(profilerPlugin, { profiler }));
    root.get('/users/:id', () => 'user');
    await root.ready();
    return (req, res) => void root.routing(req, res);
  });
  await send('/users/7');
  expect(await counted()).toEqual(['GET /users/:id 2xx 1']);

  const stricter = Fastify();
  stricter.register(profilerPlugin, { profiler });
  stricter.register(profilerPlugin, { profiler, access: { token: 'a-token-of-some-length' } });
  await expect(stricter.ready()).rejects.toMatchObject({ code: 'LOOPPROF_INVALID_CONFIG' });

  const taken = Fastify();
  taken.get('/debug/pprof', () => 'mine');
  taken.register(profilerPlugin, { profiler });
  await expect(taken.ready()).rejects.toMatchObject({ code: 'FST_ERR_DUPLICATED_ROUTE' });
});

it('leaves a 404 that a route has passed to next() with that route, where Express tells', async () => {
  await serve((profiler) => {
    const root = express5();
    root.use(expressMiddleware({ profiler }));
    root.set('env', 'test');
    root.get('/things/:id', (_req, _res, next) =>
      next(Object.assign(new Error('no such thing'), { status: 404 })),
    );
    return root;
  });
  await send('/things/7');
  expect(await counted()).toEqual(['GET /things/:id 4xx 1']);
});

it('shows loggers the timing alone, never the request and its secrets', async () => {
  const seen: string[] = [];
  await serve((profiler) => {
    const root = express5();
    root.use(expressMiddleware({ profiler }));
    root.get('/quick', (req, res) => {
      seen.push(JSON.stringify(getRequestTiming(req)));
      res.send('quick');
    });
    return root;
  });
  await (await fetch(`${app.origin}/quick`, { headers: { authorization: 'Bearer secret' } })).text();
  expect(Object.keys(JSON.parse(seen[0] ?? '') as object)).toEqual([
    'method',
    'route',
    'startedAtMs',
    'aborted',
  ]);
});

it('is asked over HTTP/2 and by requests that frameworks invent for tests', async () => {
  await serve((profiler) => expressApp(express5)(profiler));
  // Jest cannot load what inject() needs.
  expect(await runToEnd('inject.cjs')).toMatchObject({ code: 0, stdout: '200\n', stderr: '' });
  expect(await runToEnd('made-by-hand.cjs')).toMatchObject({ code: 0, stdout: '1\n', stderr: '' });

  const koa = new Koa();
  koa.use(koaMiddleware({ profiler, access: 'loopback' }));
  const server = createHttp2Server(koa.callback() as unknown as Parameters<typeof createHttp2Server>[0]);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const stream = client.request({ ':path': '/debug/pprof/requests' });
  const [headers] = (await once(stream, 'response')) as [{ ':status': number }];
  stream.resume();
  await once(stream, 'end');
  client.close();
  server.close();
  expect(headers[':status']).toBe(200);
});

describe('what is counted', () => {
  const slow = (profiler: Profiler): RequestListener => {
    const root = express5();
    root.use(expressMiddleware({ profiler }));
    root.get('/slow', (_req, res) => void setTimeout(() => res.send('done'), 300));
    root.get('/large', (_req, res) => {
      const chunk = Buffer.alloc(1024 * 1024);
      let left = 100;
      const more = (): void => {
        while (left-- > 0) if (!res.write(chunk)) return void res.once('drain', more);
        res.end();
      };
      more();
    });
    root.get('/quick', (_req, res) => void res.send('quick'));
    return root;
  };

  it('counts a request whose client hangs up once, as aborted', async () => {
    await serve(slow);
    const request = httpRequest(`${app.origin}/slow`).on('error', () => {});
    request.end();
    while ((await report()).inFlightCount === 0) await sleep(5);
    request.destroy();
    expect(await counted()).toEqual(['GET /slow none 1']);
    expect((await report()).series[0]?.aborted).toBe(1);
  });

  it('counts a request over HTTP/2 whose client gives up on it, as aborted', async () => {
    await serve(() => (_req, res) => void res.end());
    const koa = new Koa();
    koa.use(koaMiddleware({ profiler }));
    koa.use(async (ctx) => {
      ctx.status = 200;
      ctx.res.write('some');
      await new Promise(() => {});
    });
    const server = createHttp2Server(koa.callback() as unknown as Parameters<typeof createHttp2Server>[0]);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const client = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const stream = client.request({ ':path': '/never' });
    await once(stream, 'response');
    stream.close(8);
    await once(stream, 'close');
    client.close();
    expect(await counted()).toEqual(['GET (unrouted) 2xx 1']);
    expect((await report()).series[0]?.aborted).toBe(1);
    server.close();
  });

  it('counts a response of 100 MB when its last byte is out, and times it whole', async () => {
    await serve(slow);
    const bytes = (await (await fetch(`${app.origin}/large`)).arrayBuffer()).byteLength;
    expect(bytes).toBe(100 * 1024 * 1024);
    expect(await counted()).toEqual(['GET /large 2xx 1']);
    expect((await report()).series[0]?.aborted).toBe(0);
  });

  it('counts each of many requests that share one connection, sent at once', async () => {
    await serve(slow);
    const socket = connect(app.port, '127.0.0.1');
    const one = 'GET /quick HTTP/1.1\r\nHost: localhost\r\n\r\n';
    socket.write(one.repeat(9) + one.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
    socket.resume();
    await once(socket, 'end');
    expect(await counted()).toEqual(['GET /quick 2xx 10']);
  });

  it('counts pipelined requests whose client leaves before their turn, as aborted', async () => {
    await serve(slow);
    const socket = connect(app.port, '127.0.0.1');
    const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    socket.write(get('/slow') + get('/quick').repeat(20));
    while ((await report()).inFlightCount < 21) await sleep(5);
    socket.destroy();
    while ((await report()).inFlightCount > 0) await sleep(50);
    const { series } = await report();
    expect(series.reduce((sum, { count }) => sum + count, 0)).toBe(21);
    expect(series.reduce((sum, { aborted }) => sum + aborted, 0)).toBe(21);
  });

  it('shows what is in flight, with its route', async () => {
    await serve(slow);
    const pending = send('/slow');
    let report: { inFlight: { route: string; ageMs: number }[] };
    do report = (await (await fetch(`${profiler.address}requests`)).json()) as typeof report;
    while (report.inFlight.length === 0);
    expect(report.inFlight).toMatchObject([{ method: 'GET', route: '/slow' }]);
    await pending;
    const after = (await (await fetch(`${profiler.address}requests`)).json()) as Report;
    expect(after.series[0]?.durationMs.maxMs).toBeGreaterThan(report.inFlight[0]?.ageMs ?? Infinity);
  });

  it('leaves out its own routes, and counts once where the middleware is used twice', async () => {
    await serve((profiler) => {
      const root = express5();
      root.use(expressMiddleware({ profiler }));
      root.use(expressMiddleware({ profiler, path: '/elsewhere' }));
      root.get('/quick', (_req, res) => void res.send('quick'));
      return root;
    });
    await send('/quick');
    await send('/debug/pprof/');
    await send('/elsewhere/requests');
    expect(await counted()).toEqual(['GET /quick 2xx 1']);
  });

  it('keeps series and memory bounded under hostile URLs and methods', async () => {
    await serve(
      (profiler) => {
        const root = express5();
        root.use(expressMiddleware({ profiler }));
        for (let n = 0; n < 20; n++) root.get(`/route-${n}`, (_req, res) => void res.send('x'));
        return root;
      },
      { maxSeries: 10 },
    );
    for (let n = 0; n < 20; n++) await send(`/route-${n}`);
    for (let n = 0; n < 200; n++) await send(`/${Math.random()}/${n}`);
    const { series, overflowed } = await report();
    expect(series.length).toBeLessThanOrEqual(10 + 6);
    expect(series.reduce((sum, { count }) => sum + count, 0)).toBe(220);
    expect(overflowed).toBeGreaterThan(0);
    expect(series.filter(({ route }) => /\d\.\d/.test(route))).toEqual([]);
  });
});
