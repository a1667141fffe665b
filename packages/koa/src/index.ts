/** `@loopprof/koa`: `/debug/pprof/*` in a Koa app, version 2.13 or 3. */
export { profilingMiddleware } from './middleware.js';
export type { ProfilingMiddlewareOptions } from './middleware.js';
export { pprofRouter } from './router.js';
export type { PprofRouter, PprofRouterOptions } from './router.js';
