/** What an app is told about its requests: events, messages, the timing at hand, a response header. Each request once. */
import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createServer, IncomingMessage, request as httpRequest, type RequestListener } from 'node:http';
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import Router from '@koa/router';
import {
  getRequestTiming,
  Profiler,
  type ProfilerConfig,
  type ProfilerEvents,
  type RequestTiming,
} from '@loopprof/core';
import { profilingMiddleware as expressMiddleware } from '@loopprof/express';
import { profilerPlugin } from '@loopprof/fastify';
import { profilingMiddleware as koaMiddleware } from '@loopprof/koa';
import express from 'express';
import Fastify from 'fastify';
import Koa from 'koa';
import { listen, type Listening } from '../support/listen.js';
import { keepingLogger } from '../support/logger.js';

interface Blocked {
  startedMs: number;
  durationMs: number;
  method: string;
  route: string;
}

interface Report {
  series: { method: string; route: string; statusClass: string; count: number }[];
  inFlightCount: number;
}

const logger = keepingLogger();
const profilers: Profiler[] = [];
const apps: Listening[] = [];

/** Without an engine: nothing here is about samples, and who blocked the loop is known at once. */
async function start(config: Partial<ProfilerConfig> = {}): Promise<Profiler> {
  const off = { enableHTTP: false, enableCPU: false, enableMemory: false, sidecar: false };
  const profiler = new Profiler({ ...off, ...config }, logger);
  await profiler.start();
  profilers.push(profiler);
  return profiler;
}

async function serve(listener: RequestListener): Promise<Listening> {
  const app = await listen(listener);
  apps.push(app);
  return app;
}

afterEach(async () => {
  await Promise.all(apps.splice(0).map((app) => app.close()));
  await Promise.all(profilers.splice(0).map((profiler) => profiler.stop()));
  logger.lines.length = 0;
});

async function until(isSo: () => boolean): Promise<void> {
  for (let attempt = 0; !isSo(); attempt++) {
    if (attempt === 1000) throw new Error('waited in vain');
    await sleep(5);
  }
}

/** Longer than it takes from the end of a request to its settlement. */
const settle = (): Promise<void> => sleep(300);

async function get({ origin }: Listening, path: string): Promise<string> {
  return (await fetch(origin + path)).text();
}

function block(durationMs: number): void {
  const endsAt = performance.now() + durationMs;
  while (performance.now() < endsAt);
}

/** Blocks, and makes so much garbage that the collector must have run, however slow the machine. */
function litter(durationMs: number): number {
  const endsAt = performance.now() + durationMs;
  let kept: unknown[] = [];
  for (let round = 0; round < 3000 || performance.now() < endsAt; round++)
    kept = Array.from({ length: 1000 }, (_, n) => ({ n, round }));
  return kept.length;
}

function appWithSlowRoutes(profiler: Profiler): RequestListener {
  const app = express();
  app.use(expressMiddleware({ profiler }));
  app.get('/quick/:id', (_req, res) => void res.send('quick'));
  app.get('/blocks/:id', (_req, res) => {
    litter(300);
    res.send('blocked');
  });
  app.get('/waits/:id', (_req, res) => void setTimeout(() => res.status(404).send('waited'), 300));
  return app;
}

const lengthOf = ({ startedAtMs, endedAtMs = NaN }: RequestTiming): number => endedAtMs - startedAtMs;

describe("'slowRequest'", () => {
  it('comes once for each request of the threshold and more, with all that is known of it', async () => {
    const profiler = await start({ slowRequestMs: 250 });
    const slow: RequestTiming[] = [];
    const app = await serve(appWithSlowRoutes(profiler));
    // The first request of all may well be slow: half of what answers it and asks for it is loaded then.
    await get(app, '/quick/0');
    await settle();
    profiler.on('slowRequest', (timing) => slow.push({ ...timing }));
    await get(app, '/quick/1');
    await get(app, '/blocks/1');
    await get(app, '/quick/2');
    await get(app, '/waits/1');
    await until(() => slow.length >= 2);
    await settle();

    expect(slow).toMatchObject([
      { method: 'GET', route: '/blocks/:id', statusCode: 200, aborted: false },
      { method: 'GET', route: '/waits/:id', statusCode: 404, aborted: false },
    ]);
    const [blocks, waits] = slow as [RequestTiming, RequestTiming];
    expect(lengthOf(blocks)).toBeGreaterThanOrEqual(300);
    // All of it, but for the little before and after the loop.
    expect((blocks.eventLoopBlockedMs ?? 0) / lengthOf(blocks)).toBeGreaterThan(0.85);
    expect((blocks.eventLoopBlockedMs ?? 0) / lengthOf(blocks)).toBeLessThanOrEqual(1);
    expect(blocks.gcMs).toBeGreaterThan(0);
    expect(blocks.gcMs).toBeLessThan(blocks.eventLoopBlockedMs ?? 0);
    expect((waits.eventLoopBlockedMs ?? NaN) / lengthOf(waits)).toBeLessThan(0.7);
    expect(waits.gcMs).toBeGreaterThanOrEqual(0);
    for (const { startedAtMs, headersAtMs, endedAtMs } of slow) {
      expect(headersAtMs).toBeGreaterThan(startedAtMs);
      expect(endedAtMs).toBeGreaterThanOrEqual(headersAtMs ?? NaN);
    }
  });

  it('comes to every profiler by its own threshold', async () => {
    const [strict, lenient] = [await start({ slowRequestMs: 100 }), await start({ slowRequestMs: 60_000 })];
    const heard: string[] = [];
    strict.on('slowRequest', ({ route }) => heard.push(`strict ${route}`));
    lenient.on('slowRequest', ({ route }) => heard.push(`lenient ${route}`));
    await get(await serve(appWithSlowRoutes(lenient)), '/waits/1');
    await until(() => heard.length > 0);
    await settle();
    expect(heard).toEqual(['strict /waits/:id']);
  });

  it('is no trouble when a listener throws: that is logged, and all others hear of it', async () => {
    const profiler = await start({ slowRequestMs: 100 });
    const other = await start({ slowRequestMs: 100 });
    let calls = 0;
    profiler.on('slowRequest', () => {
      calls += 1;
      throw new Error('from the listener');
    });
    const heard: (string | undefined)[] = [];
    other.on('slowRequest', ({ route }) => heard.push(route));
    const app = await serve(appWithSlowRoutes(profiler));
    expect(await get(app, '/waits/1')).toBe('waited');
    expect(await get(app, '/waits/2')).toBe('waited');
    await until(() => heard.length === 2);
    expect(calls).toBe(2);
    expect(logger.messages('error')).toEqual([
      expect.stringContaining('from the listener'),
      expect.stringContaining('from the listener'),
    ]);
  });

  it('is not heard any more after stop()', async () => {
    const keeper = await start();
    const profiler = await start({ slowRequestMs: 100 });
    const heard: unknown[] = [];
    profiler.on('slowRequest', (timing) => heard.push(timing));
    const app = await serve(appWithSlowRoutes(keeper));
    await profiler.stop();
    await get(app, '/waits/1');
    await settle();
    expect(heard).toEqual([]);
  });
});

describe("'stall'", () => {
  type Stall = ProfilerEvents['stall'][0];
  const isOurs = ({ route, durationMs }: Stall): boolean => route === '/blocks/:id' && durationMs > 250;
  /** In code of this file: V8 may have made one function of several. */
  const isSeenHere = ({ stacks }: Stall): boolean =>
    stacks.some(({ frames }) => frames.some(({ url }) => url.includes('events.test')));

  it('comes once for each, with its cause and route, and so does the message; not after stop()', async () => {
    const profiler = await start({ enableCPU: true, labels: true });
    const heard: Stall[] = [];
    const messages: unknown[] = [];
    const listener = (message: unknown): void => void messages.push(message);
    profiler.on('stall', (stall) => {
      heard.push(stall);
      throw new Error('the listener failed');
    });
    subscribe('loopprof:stall', listener);
    try {
      const app = await serve(appWithSlowRoutes(profiler));
      // What the first answer of all has loaded is a stall of its own.
      await get(app, '/quick/0');
      await settle();
      const askedMs = Date.now();
      await get(app, '/blocks/1');
      await until(() => heard.some(isOurs));
      await settle();
      expect(new Set(heard.map(({ startedMs }) => startedMs)).size).toBe(heard.length);
      const stall = heard.find((each) => isOurs(each) && isSeenHere(each)) as Stall;
      expect(stall).toMatchObject({ method: 'GET', cause: expect.any(String) as string });
      expect(stall.startedMs).toBeGreaterThan(askedMs - 250);
      expect(messages).toContain(stall);
      expect(new Set(messages).size).toBe(messages.length);
      expect(logger.messages('error')).toContain(
        "loopprof: a listener of 'stall' failed: the listener failed",
      );
      heard.length = 0;
      await profiler.stop();
      block(200);
      await settle();
      expect(heard).toEqual([]);
    } finally {
      unsubscribe('loopprof:stall', listener);
    }
  });

  it('also with the block profile turned off', async () => {
    const profiler = await start({ enableBlock: false });
    const heard: Stall[] = [];
    profiler.on('stall', (stall) => heard.push(stall));
    await get(await serve(appWithSlowRoutes(profiler)), '/blocks/1');
    await until(() => heard.some(isOurs));
  });
});

describe('node:diagnostics_channel', () => {
  const messages: unknown[] = [];
  const listener = (message: unknown): void => void messages.push(message);
  beforeEach(() => (messages.length = 0));

  it('loopprof:request is told of every request once, when all is known of it', async () => {
    const profiler = await start();
    const app = await serve(appWithSlowRoutes(profiler));
    await get(app, '/quick/0');
    await settle();
    expect(channel('loopprof:request').hasSubscribers).toBe(false);
    subscribe('loopprof:request', listener);
    await get(app, '/quick/1');
    await get(app, '/blocks/1');
    await get(app, '/nowhere');
    await get(app, '/debug/pprof/');
    await until(() => messages.length >= 3);
    await settle();
    unsubscribe('loopprof:request', listener);
    await get(app, '/quick/2');
    await settle();

    expect(messages).toMatchObject([
      { method: 'GET', route: '/quick/:id', statusCode: 200, aborted: false },
      { method: 'GET', route: '/blocks/:id', statusCode: 200, aborted: false },
      { method: 'GET', statusCode: 404, aborted: false },
    ]);
    for (const { eventLoopBlockedMs, gcMs, ...timing } of messages as RequestTiming[]) {
      expect(eventLoopBlockedMs).toBeGreaterThanOrEqual(0);
      expect(gcMs).toBeGreaterThanOrEqual(0);
      expect(lengthOf(timing as RequestTiming)).toBeGreaterThan(0);
    }
    const [, blocks] = messages as RequestTiming[];
    expect((blocks?.eventLoopBlockedMs ?? 0) / lengthOf(blocks as RequestTiming)).toBeGreaterThan(0.85);
  });

  it('loopprof:blocked is told of every stretch in which the loop was blocked, and by whom', async () => {
    const profiler = await start();
    const app = await serve(appWithSlowRoutes(profiler));
    await settle();
    subscribe('loopprof:blocked', listener);
    const before = Date.now();
    await get(app, '/blocks/1');
    await until(() => (messages as Blocked[]).some(({ durationMs }) => durationMs > 250));
    await settle();
    block(150);
    const isOurs = ({ route, durationMs }: Blocked): boolean => route === '(no request)' && durationMs >= 130;
    await until(() => (messages as Blocked[]).some(isOurs));
    unsubscribe('loopprof:blocked', listener);

    const long = (messages as Blocked[]).filter(({ durationMs }) => durationMs > 100);
    const byRoute = long.find(({ route }) => route === '/blocks/:id');
    expect(byRoute).toMatchObject({ method: 'GET' });
    expect(byRoute?.durationMs).toBeGreaterThanOrEqual(290);
    // The clock of the message is the one of Date, within what setting one clock by the other may cost.
    expect(byRoute?.startedMs).toBeGreaterThan(before - 250);
    expect(byRoute?.startedMs).toBeLessThan(Date.now());
  });
});

describe('getRequestTiming', () => {
  it('tells a handler what is known so far, and everything later', async () => {
    const profiler = await start();
    let req: IncomingMessage | undefined;
    const seen: Record<string, RequestTiming> = {};
    const see = (when: string): void =>
      void (seen[when] = { ...(getRequestTiming(req as IncomingMessage) as RequestTiming) });
    const root = express();
    root.use(expressMiddleware({ profiler }));
    root.use((each, res, next) => {
      req = each;
      res.on('finish', () => see('finish'));
      res.on('close', () => see('close'));
      see('middleware');
      next();
    });
    root.get('/users/:id', (_req, res) => {
      see('handler');
      res.status(201).write('some');
      see('head');
      setTimeout(() => res.end('more'), 30);
    });
    await get(await serve(root), '/users/7');
    await settle();
    see('settled');

    expect(seen['middleware']).toMatchObject({ method: 'GET', route: undefined, endedAtMs: undefined });
    expect(seen['handler']).toMatchObject({
      method: 'GET',
      route: '/users/:id',
      headersAtMs: undefined,
      endedAtMs: undefined,
      aborted: false,
      eventLoopBlockedMs: undefined,
      gcMs: undefined,
    });
    expect(seen['handler']?.startedAtMs).toBeLessThanOrEqual(performance.now());
    expect(seen['head']?.headersAtMs).toBeGreaterThanOrEqual(seen['head']?.startedAtMs ?? NaN);
    expect(seen['head']?.endedAtMs).toBeUndefined();
    for (const when of ['finish', 'close', 'settled']) {
      expect({ when, ...seen[when] }).toMatchObject({
        when,
        route: '/users/:id',
        statusCode: 201,
        aborted: false,
      });
      expect(lengthOf(seen[when] as RequestTiming)).toBeGreaterThanOrEqual(25);
    }
    expect(seen['settled']?.eventLoopBlockedMs).toBeGreaterThanOrEqual(0);
    expect(seen['settled']?.gcMs).toBeGreaterThanOrEqual(0);
  });

  it('is complete where it was asked for by who names the route at the end', async () => {
    const profiler = await start();
    let asked: RequestTiming | undefined;
    let isSame: boolean | undefined;
    const app = await serve((req, res) => {
      profiler.beginRequest(req, res, () => {
        asked = getRequestTiming(req);
        isSame = getRequestTiming(req) === asked;
        return '/named/late';
      });
      res.end('some');
    });
    await get(app, '/');
    await until(() => asked?.eventLoopBlockedMs !== undefined);
    expect(isSame).toBe(true);
    expect(asked).toMatchObject({ method: 'GET', route: '/named/late', statusCode: 200, aborted: false });
    expect(lengthOf(asked as RequestTiming)).toBeGreaterThan(0);
  });

  it('is complete for listeners that were there before ours, and where it was taken long before', async () => {
    const profiler = await start();
    const seen: [string, RequestTiming][] = [];
    const root = express();
    root.use((req, res, next) => {
      for (const event of ['finish', 'close'])
        res.on(event, () => seen.push([event, { ...(getRequestTiming(req) as RequestTiming) }]));
      next();
    });
    root.use(expressMiddleware({ profiler }));
    root.use((req, res, next) => {
      const timing = getRequestTiming(req) as RequestTiming;
      res.on('finish', () => seen.push(['taken before', { ...timing }]));
      next();
    });
    root.get('/users/:id', (_req, res) => void res.status(201).send('some'));
    root.get('/hangs', (_req, res) => void res.write('half'));
    const app = await serve(root);
    await get(app, '/users/7');
    await until(() => seen.length === 3);
    expect(seen.map(([when]) => when)).toEqual(['finish', 'taken before', 'close']);
    for (const [when, timing] of seen) {
      expect({ when, ...timing }).toMatchObject({
        when,
        route: '/users/:id',
        statusCode: 201,
        aborted: false,
      });
      expect(lengthOf(timing)).toBeGreaterThan(0);
    }
    seen.length = 0;
    const request = httpRequest(`${app.origin}/hangs`).on('error', () => {});
    request.end();
    await once(request, 'response');
    request.destroy();
    await until(() => seen.length > 0);
    expect(seen).toMatchObject([['close', { route: '/hangs', statusCode: 200, aborted: true }]]);
    expect(lengthOf((seen[0] as [string, RequestTiming])[1])).toBeGreaterThan(0);
  });

  it("is complete in Fastify's onResponse hook", async () => {
    const profiler = await start();
    const seen: (RequestTiming | undefined)[] = [];
    const root = Fastify();
    await root.register(profilerPlugin, { profiler });
    root.addHook('onResponse', (request, _reply, done) => {
      seen.push({ ...(getRequestTiming(request.raw) as RequestTiming) });
      done();
    });
    root.get('/users/:id', (_request, reply) => reply.code(201).send('some'));
    await root.ready();
    await get(await serve((req, res) => void root.routing(req, res)), '/users/7');
    await until(() => seen.length > 0);
    expect(seen).toMatchObject([{ method: 'GET', route: '/users/:id', statusCode: 201, aborted: false }]);
    expect(lengthOf(seen[0] as RequestTiming)).toBeGreaterThan(0);
  });

  it("is complete in a listener for 'close', also when the client has hung up", async () => {
    const profiler = await start();
    const seen: RequestTiming[] = [];
    const root = express();
    root.use(expressMiddleware({ profiler }));
    root.get('/hangs', (req, res) => {
      res.on('close', () => seen.push({ ...(getRequestTiming(req) as RequestTiming) }));
      res.write('half');
    });
    const app = await serve(root);
    const request = httpRequest(`${app.origin}/hangs`).on('error', () => {});
    request.end();
    await once(request, 'response');
    request.destroy();
    await until(() => seen.length > 0);
    expect(seen).toMatchObject([{ route: '/hangs', statusCode: 200, aborted: true }]);
    expect(lengthOf(seen[0] as RequestTiming)).toBeGreaterThan(0);
  });

  it('is all that a logger gets, and nothing of the request and its secrets, spread or not', async () => {
    const profiler = await start();
    const fields: string[][] = [];
    const root = express();
    root.use(expressMiddleware({ profiler }));
    root.get('/users/:id', (req, res) => {
      const timing = getRequestTiming(req) as RequestTiming;
      fields.push(Object.keys({ ...timing }), Object.keys(JSON.parse(JSON.stringify(timing)) as object));
      res.send('x');
    });
    await get(await serve(root), '/users/7');
    const known = ['aborted', 'method', 'route', 'startedAtMs'];
    const later = ['endedAtMs', 'eventLoopBlockedMs', 'gcMs', 'headersAtMs', 'statusCode'];
    expect(fields[0]?.sort()).toEqual([...known, ...later].sort());
    expect(fields[1]?.sort()).toEqual(known);
  });

  it('knows nothing of a request that nobody times', () => {
    expect(getRequestTiming(new IncomingMessage(new Socket()))).toBeUndefined();
  });
});

describe('Server-Timing', () => {
  const ours = /^app;dur=[\d.]+, loop;desc="event loop blocked";dur=[\d.]+, gc;dur=[\d.]+$/;
  const paths = ['/none', '/set', '/given'];

  const builds: Record<string, (profiler: Profiler) => RequestListener | Promise<RequestListener>> = {
    Express: (profiler) => {
      const root = express();
      root.use(expressMiddleware({ profiler }));
      root.get('/none', (_req, res) => void res.send('x'));
      root.get('/set', (_req, res) => void res.set('Server-Timing', 'db;dur=5').send('x'));
      root.get('/given', (_req, res) => void res.writeHead(200, { 'Server-Timing': 'db;dur=5' }).end('x'));
      return root;
    },
    Koa: (profiler) => {
      const root = new Koa();
      root.use(koaMiddleware({ profiler }));
      root.use((ctx) => {
        if (ctx.path === '/given') {
          ctx.respond = false;
          ctx.res.writeHead(200, ['Server-Timing', 'db;dur=5']).end('x');
        } else {
          if (ctx.path === '/set') ctx.set('Server-Timing', 'db;dur=5');
          ctx.body = 'x';
        }
      });
      const callback = root.callback();
      return (req, res) => void callback(req, res);
    },
    Fastify: async (profiler) => {
      const root = Fastify();
      await root.register(profilerPlugin, { profiler });
      root.get('/none', () => 'x');
      root.get('/set', (_request, reply) => reply.header('Server-Timing', 'db;dur=5').send('x'));
      root.get('/given', (_request, reply) => {
        reply.hijack();
        reply.raw.writeHead(200, 'OK', { 'server-timing': 'db;dur=5' }).end('x');
      });
      await root.ready();
      return (req, res) => void root.routing(req, res);
    },
  };

  describe.each(Object.entries(builds))('%s', (_name, build) => {
    it.each(paths)('%s: has ours, after what the app says itself', async (path) => {
      const app = await serve(await build(await start({ serverTiming: true })));
      const { headers } = await fetch(app.origin + path);
      const header = headers.get('server-timing') ?? 'none';
      expect(path === '/none' ? header : header.replace(/^db;dur=5, /, '')).toMatch(ours);
      if (path !== '/none') expect(header).toMatch(/^db;dur=5, /);
    });

    it('is not there unless asked for', async () => {
      const app = await serve(await build(await start()));
      const seen = await Promise.all(
        paths.map(async (path) => (await fetch(app.origin + path)).headers.get('server-timing')),
      );
      expect(seen).toEqual([null, 'db;dur=5', 'db;dur=5']);
    });
  });

  it('says how long the app took and how much of it the loop was blocked', async () => {
    const profiler = await start({ serverTiming: true });
    const app = await serve(appWithSlowRoutes(profiler));
    const { headers } = await fetch(`${app.origin}/blocks/1`);
    const [total = 0, loop = 0, gc = 0] = [
      ...(headers.get('server-timing') ?? '').matchAll(/dur=([\d.]+)/g),
    ].map(([, dur]) => Number(dur));
    expect(total).toBeGreaterThanOrEqual(300);
    expect(loop / total).toBeGreaterThan(0.85);
    // The loop's part is read a moment after the whole, and both are rounded.
    expect(loop / total).toBeLessThan(1.01);
    expect(gc / total).toBeLessThan(1);
  });
});

describe('each request is counted once', () => {
  async function counted(profiler: Profiler): Promise<string[]> {
    const handler = profiler.createHandler({ access: 'public' });
    let report: Report;
    do {
      await sleep(20);
      const request = { method: 'GET', url: '/requests', path: '/requests', headers: {}, httpVersion: '1.1' };
      const { signal } = new AbortController();
      const { body } = await handler({ ...request, remoteAddress: undefined, signal });
      report = JSON.parse(typeof body === 'string' ? body : Buffer.from(body).toString()) as Report;
    } while (report.inFlightCount > 0);
    return report.series
      .map(({ method, route, statusClass, count }) => `${method} ${route} ${statusClass} ${count}`)
      .sort();
  }

  function koaApp(use: (root: Koa) => void): RequestListener {
    const root = new Koa();
    use(root);
    const router = new Router();
    router.get('/koa/:id', (ctx) => void (ctx.body = 'koa'));
    root.use(router.routes());
    const callback = root.callback();
    return (req, res) => void callback(req, res);
  }

  async function fastifyApp(profiler: Profiler, times = 1): Promise<RequestListener> {
    const root = Fastify();
    for (let time = 0; time < times; time++) {
      await root.register(profilerPlugin, { profiler, prefix: `/pprof-${time}` });
    }
    root.get('/fastify/:id', () => 'fastify');
    await root.ready();
    return (req, res) => void root.routing(req, res);
  }

  function expressApp(profiler: Profiler, times = 1): express.Express {
    const root = express();
    for (let time = 0; time < times; time++)
      root.use(expressMiddleware({ profiler, path: `/pprof-${time}` }));
    root.get('/express/:id', (_req, res) => void res.send('express'));
    return root;
  }

  it('by Express, Koa and Fastify side by side on one thread, whichever profiler they were given', async () => {
    const [first, second] = [await start(), await start()];
    const koa = koaApp((root) => root.use(koaMiddleware({ profiler: second })));
    const served = [
      [await serve(expressApp(first)), '/express/1'],
      [await serve(koa), '/koa/1'],
      [await serve(await fastifyApp(first)), '/fastify/1'],
    ] as const;
    const heard: string[] = [];
    const listener = (message: unknown): void => void heard.push(String((message as RequestTiming).route));
    subscribe('loopprof:request', listener);
    for (const [app, path] of served) for (let time = 0; time < 3; time++) await get(app, path);
    const expected = ['GET /express/:id 2xx 3', 'GET /fastify/:id 2xx 3', 'GET /koa/:id 2xx 3'];
    expect(await counted(first)).toEqual(expected);
    expect(await counted(second)).toEqual(expected);
    await settle();
    unsubscribe('loopprof:request', listener);
    expect(heard).toEqual([
      ...Array.from({ length: 3 }, () => '/express/:id'),
      ...Array.from({ length: 3 }, () => '/koa/:id'),
      ...Array.from({ length: 3 }, () => '/fastify/:id'),
    ]);
  });

  it('where the middleware is used twice', async () => {
    const profiler = await start();
    const koa = koaApp((root) =>
      root
        .use(koaMiddleware({ profiler, path: '/pprof-0' }))
        .use(koaMiddleware({ profiler, path: '/pprof-1' })),
    );
    await get(await serve(expressApp(profiler, 2)), '/express/1');
    await get(await serve(koa), '/koa/1');
    await get(await serve(await fastifyApp(profiler, 2)), '/fastify/1');
    expect(await counted(profiler)).toEqual([
      'GET /express/:id 2xx 1',
      'GET /fastify/:id 2xx 1',
      'GET /koa/:id 2xx 1',
    ]);
  });

  it('where one app passes a request on to another', async () => {
    const profiler = await start();
    const inner = expressApp(profiler);
    const outer = koaApp((root) =>
      root.use(koaMiddleware({ profiler })).use((ctx, next) => {
        if (!ctx.path.startsWith('/express')) return next();
        ctx.respond = false;
        ctx.res.statusCode = 200;
        inner(ctx.req, ctx.res);
        return undefined;
      }),
    );
    const app = await serve(outer);
    expect(await get(app, '/express/1')).toBe('express');
    expect(await get(app, '/koa/1')).toBe('koa');
    expect(await counted(profiler)).toEqual(['GET /express/:id 2xx 1', 'GET /koa/:id 2xx 1']);
  });

  it('without a framework, on a server of its own', async () => {
    const profiler = await start();
    const server = createServer((req, res) => {
      profiler.beginRequest(req, res);
      profiler.beginRequest(req, res);
      res.end('plain');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    await (await fetch(`http://127.0.0.1:${port}/some/path`)).text();
    server.close().closeAllConnections();
    expect(await counted(profiler)).toEqual(['GET (unrouted) 2xx 1']);
  });
});
