import { answerPprof, checkMountPath, mountHandler, pathBelow } from '@loopprof/core';
import type { MountOptions, PprofHandler } from '@loopprof/core';
import type { Context, Middleware } from 'koa';

/** Options of profilingMiddleware. */
export interface ProfilingMiddlewareOptions extends MountOptions {
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
  const handler = mountHandler(mountOptions);
  return function profilingMiddleware(ctx, next) {
    const below = path === false ? undefined : pathBelow(ctx.path, path);
    return below === undefined ? next() : answer(handler, ctx, below);
  };
}

/** Lets Koa write the answer, so that what stands above us in the app sees it. */
export async function answer(handler: PprofHandler, ctx: Context, path: string): Promise<void> {
  const { status, headers, body } = await answerPprof(handler, ctx, { path, url: ctx.originalUrl });
  ctx.status = status;
  ctx.body = typeof body === 'string' ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  ctx.set({ ...headers });
}
