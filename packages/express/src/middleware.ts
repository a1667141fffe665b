import type { IncomingMessage } from 'node:http';
import { checkMountPath, createMount, LoopprofError, pathBelow, pathOf, servePprof } from '@loopprof/core';
import type { MountOptions, ReachedRoute } from '@loopprof/core';
import type { RequestHandler } from 'express';
import { leftRouter, routeLeftBehind, watchRoutes } from './route-watch.js';

/** Options of profilingMiddleware. */
export interface ProfilingMiddlewareOptions extends MountOptions {
  /**
   * Where the profiles are served, or `false` to serve them nowhere.
   * @default '/debug/pprof'
   */
  path?: string | false;
}

/**
 * profilingMiddleware times every request by its route, records what the process does, and serves the profiles below
 * `/debug/pprof/`. Use it first: what stands before it is not timed.
 *
 * In Express 4, and in 5 with `router` before 2.3, an error with status 404 that a route passes to `next()` and that no error
 * handler of the app answers is counted under `(unmatched)`: there it looks like a 404 that no route has had a part in.
 *
 * @example
 * ```ts
 * import express from 'express';
 * import { profilingMiddleware } from '@loopprof/express';
 *
 * const app = express();
 * app.use(profilingMiddleware());
 * app.listen(3000); // go tool pprof http://localhost:3000/debug/pprof/profile
 * ```
 */
export function profilingMiddleware(options: ProfilingMiddlewareOptions = {}): RequestHandler {
  refuseUncalled('profilingMiddleware', options);
  const { path = '/debug/pprof', ...mountOptions } = options;
  if (path !== false) checkMountPath('path', path);
  const { profiler, handler } = createMount(mountOptions);
  return function profilingMiddleware(req, res, next) {
    // Most requests are for others.
    const below = path !== false && req.url.startsWith(path) ? pathBelow(pathOf(req.url), path) : undefined;
    if (below !== undefined) {
      void servePprof(handler, { req, res }, { path: below, url: req.originalUrl });
      return;
    }
    watchRoutes(req);
    profiler.beginRequest(req, res, routeAtEnd);
    next();
  };
}

/**
 * pprofRouter serves the profiles wherever it is mounted.
 *
 * @example
 * ```ts
 * app.use('/internal/pprof', pprofRouter({ access: { token: process.env.PPROF_TOKEN } }));
 * ```
 */
export function pprofRouter(options: MountOptions = {}): RequestHandler {
  refuseUncalled('pprofRouter', options);
  const { handler } = createMount(options);
  return function pprofRouter(req, res) {
    const url = req.originalUrl;
    const path = pathOf(req.url);
    // Express strips the mount to '/' whether or not the client sent a slash; relative links need it.
    const slashMissing = path === '/' && !pathOf(url).endsWith('/');
    void servePprof(handler, { req, res }, { path: slashMissing ? '' : path, url });
  };
}

/** A 404 after the last route has called `next()` belongs to none, though Express leaves the last one in `req.route`. */
function routeAtEnd({ route, statusCode }: ReachedRoute, req: IncomingMessage): string | undefined {
  return statusCode === 404 && leftRouter(req) ? undefined : (route ?? routeLeftBehind(req));
}

/** `app.use(profilingMiddleware)` would hand us the first request as options and never answer it. */
function refuseUncalled(name: string, options: object): void {
  if (!('socket' in options) && !('httpVersion' in options)) return;
  throw new LoopprofError(
    'LOOPPROF_INVALID_CONFIG',
    `${name} must be called: app.use(${name}()), not app.use(${name}).`,
  );
}
