import { isDeepStrictEqual } from 'node:util';
import { answerPprof, checkMountPath, createMount, LoopprofError, setRequestRoute } from '@loopprof/core';
import type { MountOptions, PprofHandler } from '@loopprof/core';
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';

/** Options of profilerPlugin. */
export interface ProfilerPluginOptions extends MountOptions {
  /**
   * Path of the routes.
   * @default '/debug/pprof'
   */
  prefix?: string;
  /**
   * Whether to serve the profiles on this app; without, they are served by the profiler's standalone server only.
   * @default true
   */
  routes?: boolean;
}

const OWN_ROUTE = Symbol('loopprof.ownRoute');

/** Marks the routes that are ours, which are not counted. */
interface OwnRoute {
  readonly [OWN_ROUTE]?: true;
}

const register: FastifyPluginAsync<ProfilerPluginOptions> = async (fastify, options) => {
  const { prefix = '/debug/pprof', routes = true, ...mountOptions } = options;
  checkMountPath('prefix', prefix);
  const { profiler, handler } = createMount({ ...loggerOf(fastify), ...mountOptions });
  fastify.addHook('onRequest', (request, reply, done) => {
    try {
      const { url, config } = request.routeOptions;
      if (!(config as OwnRoute | undefined)?.[OWN_ROUTE]) {
        profiler.beginRequest(request.raw, reply.raw);
        if (url !== undefined) setRequestRoute(request.raw, url);
      }
    } catch {
      // A request that does not tell its route is the app's all the same.
    }
    done();
  });
  if (!routes || isServed(fastify, { prefix, access: options.access })) return;
  await fastify.register(
    // Asynchronous, so that a path that the app has taken itself is an error of `register()` and not an uncaught one.
    // eslint-disable-next-line @typescript-eslint/require-await
    async (child) => addRoutes(child, handler),
    { prefix },
  );
};

/** The app's own logger, unless it has none: Fastify's stand-in for one has no level. */
function loggerOf({ log }: FastifyInstance): Pick<MountOptions, 'logger'> {
  return (log as { level?: string }).level === undefined ? {} : { logger: log };
}

/**
 * Who may read at each of our paths, by the server that they are on: a plugin of the app's may register us, too, without knowing of
 * the app.
 */
const servedBy = new WeakMap<object, Map<string, MountOptions['access']>>();

function isServed(
  { server, prefix: outer }: FastifyInstance,
  { prefix, access }: { prefix: string; access: MountOptions['access'] },
): boolean {
  let served = servedBy.get(server);
  if (!served) servedBy.set(server, (served = new Map<string, MountOptions['access']>()));
  const path = outer + prefix;
  if (!served.has(path)) {
    served.set(path, access);
    return false;
  }
  if (access === undefined || isDeepStrictEqual(access, served.get(path))) return true;
  throw new LoopprofError(
    'LOOPPROF_INVALID_CONFIG',
    `The profiles are registered at ${path} already, with another \`access\`: give it there, or register with another prefix, or with routes: false.`,
  );
}

/** In a child of its own, so that its parsers and schemas are not the app's and the app's are not its. */
function addRoutes(fastify: FastifyInstance, handler: PprofHandler): void {
  // What anybody posts here is refused, so nothing is parsed.
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('*', (_request, _payload, done) => done(null));
  const pprofRoute = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const url = request.originalUrl;
    const rest = (request.params as Record<string, string>)['*'];
    const path = rest === undefined ? '' : `/${rest}`;
    const { status, headers, body } = await answerPprof(
      handler,
      { req: request.raw, res: reply.raw },
      { path, url },
    );
    return reply.code(status).headers(headers).send(body);
  };
  // `hide` is @fastify/swagger's word for a route that is not part of the API.
  const options = {
    config: { [OWN_ROUTE]: true },
    schema: { hide: true } as object,
    logLevel: 'warn',
    prefixTrailingSlash: 'no-slash',
  } as const;
  fastify.all('/', options, pprofRoute);
  fastify.all('/*', options, pprofRoute);
}

/**
 * profilerPlugin times every request by its route, records what the process does, and serves the profiles below
 * `/debug/pprof/`. Register it first: hooks that run before it are not timed. A URL that Fastify cannot decode is answered
 * before any hook, and not counted.
 *
 * @example
 * ```ts
 * import Fastify from 'fastify';
 * import { profilerPlugin } from '@loopprof/fastify';
 *
 * const fastify = Fastify();
 * await fastify.register(profilerPlugin);
 * await fastify.listen({ port: 3000 }); // go tool pprof http://localhost:3000/debug/pprof/profile
 * ```
 */
export const profilerPlugin = fp(register, { name: '@loopprof/fastify', fastify: '5.x' });
