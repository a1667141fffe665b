import type { IncomingMessage } from 'node:http';
import { answerPprof, checkMountPath, createMount, pathBelow } from '@loopprof/core';
import type { MountOptions, PprofHandler, ReachedRoute } from '@loopprof/core';
import type { Context, Middleware } from 'koa';
import { watchRoutes, type RoutedContext } from './route-watch.js';

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
 * @example
 * ```ts
 * import Koa from 'koa';
 * import { profilingMiddleware } from '@loopprof/koa';
 *
 * const app = new Koa();
 * app.use(profilingMiddleware());
 * app.listen(3000); // go tool pprof http://localhost:3000/debug/pprof/profile
 * ```
 */
export function profilingMiddleware(options: ProfilingMiddlewareOptions = {}): Middleware {
  const { path = '/debug/pprof', ...mountOptions } = options;
  if (path !== false) checkMountPath('path', path);
  const { profiler, handler } = createMount(mountOptions);
  return function profilingMiddleware(ctx, next) {
    // Most requests are for others, and Koa parses the URL anew for the path.
    const below = path !== false && ctx.url.includes(path) ? pathBelow(ctx.path, path) : undefined;
    if (below !== undefined) return answer(handler, ctx, below);
    watchRoutes(ctx);
    (ctx.req as WithContext)[CONTEXT] = ctx as unknown as RoutedContext;
    profiler.beginRequest(ctx.req, ctx.res, routeAtEnd);
    return next();
  };
}

const CONTEXT = Symbol('loopprof.context');

/** Node's request leads back to Koa's context, where the router leaves the route. */
interface WithContext extends IncomingMessage {
  [CONTEXT]?: RoutedContext;
}

/** A 404 that nobody has set is Koa's own: every route that matched has passed the request on. */
function routeAtEnd({ route, statusCode }: ReachedRoute, req: IncomingMessage): string | undefined {
  const ctx = (req as WithContext)[CONTEXT];
  return statusCode === 404 && !ctx?.response._explicitStatus ? undefined : route;
}

/** Lets Koa write the answer, so that what stands above us in the app sees it. */
export async function answer(handler: PprofHandler, ctx: Context, path: string): Promise<void> {
  const { status, headers, body } = await answerPprof(handler, ctx, { path, url: ctx.originalUrl });
  ctx.status = status;
  ctx.body = typeof body === 'string' ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  ctx.set({ ...headers });
}
