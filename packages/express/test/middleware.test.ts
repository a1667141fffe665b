import { IncomingMessage } from 'node:http';
import { Profiler } from '@loopprof/core';
import express from 'express';
import { listen } from '../../../test/support/listen.js';
import { pprofRouter, profilingMiddleware } from '../src/index.js';

const profiler = new Profiler({ enableHTTP: false, enableCPU: false });
beforeAll(() => profiler.start());
afterAll(() => profiler.stop());

/** Status of each path in an app with that middleware, and 'app' where the app itself has answered. */
async function statuses(
  middleware: express.RequestHandler,
  paths: readonly string[],
): Promise<(number | string)[]> {
  const app = await listen(
    express()
      .use(middleware)
      .use((_req, res) => void res.send('app')),
  );
  try {
    return await Promise.all(
      paths.map(async (path) => {
        const response = await fetch(app.origin + path, { redirect: 'manual' });
        return (await response.text()) === 'app' ? 'app' : response.status;
      }),
    );
  } finally {
    await app.close();
  }
}

describe('path', () => {
  it('is where the profiles are served, and nothing beside it', async () => {
    const middleware = profilingMiddleware({ profiler, path: '/_ops/prof' });
    const paths = [
      '/_ops/prof',
      '/_ops/prof/',
      '/_ops/prof/heap',
      '/_ops/prof?x=1',
      '/_ops/profile',
      '/_ops',
      '/debug/pprof/',
    ];
    expect(await statuses(middleware, paths)).toEqual([301, 200, 200, 301, 'app', 'app', 'app']);
  });

  it('false serves them nowhere', async () => {
    const middleware = profilingMiddleware({ profiler, path: false });
    expect(await statuses(middleware, ['/debug/pprof/', '/debug/pprof/heap', '/'])).toEqual([
      'app',
      'app',
      'app',
    ]);
  });

  it.each(['', '/', 'debug/pprof', '/debug/pprof/', '/debug//pprof', '/debug?x', '/debug#x', 6060, true])(
    'is refused where it is %p, by its name and value',
    (path) => {
      let refusal: unknown;
      try {
        profilingMiddleware({ profiler, path: path as string });
      } catch (error) {
        refusal = error;
      }
      expect(refusal).toMatchObject({ code: 'LOOPPROF_INVALID_CONFIG' });
      expect((refusal as Error).message).toMatch(/^`path` must /);
      expect((refusal as Error).message).toContain(`'${String(path)}'`);
    },
  );
});

describe('middleware that is given to use() without being called', () => {
  it.each([
    ['profilingMiddleware', profilingMiddleware],
    ['pprofRouter', pprofRouter],
  ] as const)('%s says so to the first request instead of never answering', async (name, factory) => {
    const failures: unknown[] = [];
    const app = express().use(factory as unknown as express.RequestHandler);
    const onError: express.ErrorRequestHandler = (error, _req, res, next) => {
      failures.push(error);
      if (res.headersSent) next(error);
      else res.sendStatus(500);
    };
    const server = await listen(app.use(onError));
    try {
      expect((await fetch(server.origin)).status).toBe(500);
      expect(failures).toEqual([
        expect.objectContaining({
          code: 'LOOPPROF_INVALID_CONFIG',
          message: `${name} must be called: app.use(${name}()), not app.use(${name}).`,
        }),
      ]);
    } finally {
      await server.close();
    }
  });
});

describe('a request that the app sends through itself again, for the same response', () => {
  it('is answered as without, and counted beside the first', async () => {
    const app = express().use(profilingMiddleware({ profiler }));
    app.get('/of/:id', (req, res) => void res.json({ id: req.params.id }));
    app.get('/forwards', (req, res) => {
      const own = Object.assign(new IncomingMessage(req.socket), { method: 'GET', url: '/of/7' });
      app(own as express.Request, res);
    });
    const server = await listen(app);
    try {
      const response = await fetch(`${server.origin}/forwards`);
      expect([response.status, await response.json()]).toEqual([200, { id: '7' }]);
      const report = await (await fetch(`${server.origin}/debug/pprof/requests`)).json();
      const { series, inFlightCount } = report as {
        series: { route: string; count: number }[];
        inFlightCount: number;
      };
      expect(inFlightCount).toBe(0);
      const counts = Object.fromEntries(series.map(({ route, count }) => [route, count]));
      expect(counts).toMatchObject({ '/forwards': 1, '/of/:id': 1 });
    } finally {
      await server.close();
    }
  });
});

describe("Express's req.route", () => {
  const shown = (req: express.Request): unknown => {
    const route = req.route as { path: string } | null | undefined;
    return route?.path ?? route;
  };

  /** What two requests show of it at each step on their way through an app, and when their response is over. */
  async function seen(first: express.RequestHandler, second: express.RequestHandler): Promise<unknown[]> {
    const routes: unknown[] = [];
    const note: express.RequestHandler = (req, _res, next) => {
      routes.push(shown(req));
      next();
    };
    const inner = express.Router();
    inner.get('/inner', (req, _res, next) => {
      routes.push(`inside ${String(shown(req))}`);
      next();
    });
    const app = express().use(first).use(note);
    app.get('/:a', note, (req, res, next) => {
      const derived = Object.create(req, { url: { value: '/inner', writable: true } }) as express.Request;
      inner(derived, res, () => {
        routes.push(shown(derived), shown(req));
        const copy = Object.assign(new IncomingMessage(req.socket), req, { url: '/inner' });
        Object.setPrototypeOf(copy, app.request);
        inner(copy as express.Request, res, () => {
          routes.push(shown(copy as express.Request), shown(req));
          derived.route = undefined;
          routes.push(shown(derived), shown(req));
          next();
        });
      });
    });
    app.use(second).use(note);
    app.get('/:b', note, (_req, _res, next) => next());
    for (const none of [undefined, null])
      app.use((req, _res, next) => {
        req.route = none;
        note(req, _res, next);
      });
    app.get('/:c', note, (req, res) => {
      res.on('close', () => {
        routes.push(shown(req));
        req.route = undefined;
        routes.push(shown(req));
      });
      res.end();
    });
    const server = await listen(app);
    try {
      // From the first request on, an accessor stands in for it.
      for (let n = 0; n < 2; n++) {
        await (await fetch(`${server.origin}/x`)).text();
        await new Promise(setImmediate);
      }
      return routes;
    } finally {
      await server.close();
    }
  }

  const none: express.RequestHandler = (_req, _res, next) => next();

  it('is what it is without us, wherever the middleware is, and whether or not a profiler runs', async () => {
    const without = await seen(none, none);
    const derived = ['inside /inner', '/inner', '/:a'];
    const taken = [undefined, '/:a', '/:a', '/:b', undefined, null, '/:c', '/:c', undefined];
    const once = [undefined, '/:a', ...derived, ...derived, ...taken];
    expect(without).toEqual([...once, ...once]);
    const middleware = profilingMiddleware({ profiler, path: false });
    expect(await seen(middleware, none)).toEqual(without);
    expect(await seen(none, middleware)).toEqual(without);
    expect(await seen(middleware, middleware)).toEqual(without);
    const idle = profilingMiddleware({ profiler: new Profiler({ enableHTTP: false }), path: false });
    expect(await seen(idle, none)).toEqual(without);
  });
});
