import { createRequire } from 'node:module';
import { checkMountPath, LoopprofError, createMount } from '@loopprof/core';
import type { MountOptions } from '@loopprof/core';
import type { Context, Middleware } from 'koa';
import { answer } from './middleware.js';

/** Options of pprofRouter. */
export interface PprofRouterOptions extends MountOptions {
  /**
   * Path of the routes, below the prefix of the router that takes them.
   * @default '/debug/pprof'
   */
  prefix?: string;
}

/** What is used of a `@koa/router`: naming its own type would ask for the package where nobody uses it. */
export interface PprofRouter {
  /** The middleware to mount. */
  routes(): Middleware;
  middleware(): Middleware;
}

interface KoaRouter extends PprofRouter {
  all(path: string, handler: (ctx: Context) => Promise<void>): unknown;
}

type KoaRouterClass = new () => KoaRouter;

/**
 * pprofRouter gives a `@koa/router` with the profiles' routes, to be mounted in the app or in another router. It needs
 * `@koa/router` 12 or newer; profilingMiddleware() does not.
 *
 * @example
 * ```ts
 * const router = new Router();
 * router.use(pprofRouter().routes());
 * app.use(router.routes());
 * ```
 */
export function pprofRouter(options: PprofRouterOptions = {}): PprofRouter {
  const { prefix = '/debug/pprof', ...mountOptions } = options;
  checkMountPath('prefix', prefix);
  const Router = loadRouter();
  const { handler } = createMount(mountOptions);
  const router = new Router();
  const pprofRoute = (ctx: Context): Promise<void> => {
    const name = (ctx['params'] as { profile?: string }).profile;
    const root = ctx.path.endsWith('/') ? '/' : '';
    return answer(handler, ctx, name === undefined ? root : `/${name}`);
  };
  router.all(prefix, pprofRoute);
  router.all(`${prefix}/:profile`, pprofRoute);
  return router;
}

/** The class under any of the shapes in which versions 12 to 15 export it. */
function loadRouter(): KoaRouterClass {
  try {
    const loaded = createRequire(__filename)('@koa/router') as KoaRouterClass & { default?: KoaRouterClass };
    return loaded.default ?? loaded;
  } catch (error) {
    throw new LoopprofError(
      'LOOPPROF_INVALID_CONFIG',
      'pprofRouter() needs @koa/router: npm install @koa/router, or use profilingMiddleware(), which does without.',
      { cause: error },
    );
  }
}
