/** `@loopprof/fastify`: `/debug/pprof/*` in a Fastify 5 app. */
export { profilerPlugin } from './plugin.js';
export type { ProfilerPluginOptions } from './plugin.js';
