import { getProfiler, LoopprofError, servePprof } from '@loopprof/core';
import type { Logger, PprofHandler, Profiler, ProfilerConfig } from '@loopprof/core';
import type { RequestHandler } from 'express';

/** Options of pprofRouter: those of the profiler, and where it comes from. */
export interface PprofRouterOptions extends Partial<ProfilerConfig> {
  /**
   * The profiler to serve.
   * @default the one that all adapters share, started here
   */
  profiler?: Profiler;
  /** Anything of pino's shape; without one nothing is logged. */
  logger?: Logger;
}

/** Options of profilingMiddleware. */
export interface ProfilingMiddlewareOptions extends PprofRouterOptions {
  /**
   * Where the profiles are served, or `false` to serve them nowhere.
   * @default '/debug/pprof'
   */
  path?: string | false;
}

/**
 * profilingMiddleware records what the process does and serves its profiles below `/debug/pprof/`; every other request passes
 * untouched.
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
  const { path = '/debug/pprof', ...routerOptions } = options;
  if (path !== false && !/^(\/[^/?#]+)+$/.test(path)) {
    throw new LoopprofError(
      'LOOPPROF_INVALID_CONFIG',
      `\`path\` must be false or start with a slash and not end with one, got '${path}'.`,
    );
  }
  const handler = handlerOf(routerOptions);
  return function profilingMiddleware(req, res, next) {
    const below = path === false ? undefined : pathBelow(pathOf(req.url), path);
    if (below === undefined) next();
    else void servePprof(handler, { req, res }, { path: below, url: req.originalUrl });
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
export function pprofRouter(options: PprofRouterOptions = {}): RequestHandler {
  refuseUncalled('pprofRouter', options);
  const handler = handlerOf(options);
  return function pprofRouter(req, res) {
    const url = req.originalUrl;
    const path = pathOf(req.url);
    // Express strips the mount to '/' whether or not the client sent a slash; relative links need it.
    const slashMissing = path === '/' && !pathOf(url).endsWith('/');
    void servePprof(handler, { req, res }, { path: slashMissing ? '' : path, url });
  };
}

function handlerOf({ profiler, logger, ...config }: PprofRouterOptions): PprofHandler {
  return (profiler ?? getProfiler(config, logger)).createHandler({ access: config.access });
}

function pathOf(url: string): string {
  const query = url.indexOf('?');
  return query < 0 ? url : url.slice(0, query);
}

function pathBelow(path: string, mount: string): string | undefined {
  if (!path.startsWith(mount)) return undefined;
  const below = path.slice(mount.length);
  return below === '' || below.startsWith('/') ? below : undefined;
}

/** `app.use(profilingMiddleware)` would hand us the first request as options and never answer it. */
function refuseUncalled(name: string, options: object): void {
  if (!('socket' in options) && !('httpVersion' in options)) return;
  throw new LoopprofError(
    'LOOPPROF_INVALID_CONFIG',
    `${name} must be called: app.use(${name}()), not app.use(${name}).`,
  );
}
