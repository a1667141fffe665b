/** `@loopprof/express`: `/debug/pprof/*` in an Express app, version 4.17 or 5. */
export { pprofRouter, profilingMiddleware } from './middleware.js';
export type { ProfilingMiddlewareOptions } from './middleware.js';
