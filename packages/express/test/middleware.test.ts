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
