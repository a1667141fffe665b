import type { IncomingMessage } from 'node:http';
import { setRequestRoute } from '@loopprof/core';

/** What `@koa/router` leaves on the context, and koa-mount, which takes its prefix off the path. */
export interface RoutedContext {
  readonly req: IncomingMessage;
  readonly path: string;
  readonly originalUrl: string;
  readonly matched?: readonly { readonly path: unknown; readonly methods: readonly string[] }[];
  readonly response: { readonly _explicitStatus?: boolean };
}

/** What is kept behind the accessors, one context's own. */
interface Watched extends RoutedContext {
  [ROUTE]?: unknown;
  [TEMPLATE]?: string;
  [MOUNT]?: string;
  [MOUNTS]?: string[];
  [RESPOND]?: unknown;
}

const ROUTE = Symbol('loopprof.route');
const TEMPLATE = Symbol('loopprof.template');
const MOUNT = Symbol('loopprof.mount');
const MOUNTS = Symbol('loopprof.mounts');
const RESPOND = Symbol('loopprof.respond');

const WATCH = Symbol.for('loopprof.routeWatch');

/**
 * Sees the moment in which the router reaches a route, before the handler runs: it assigns `ctx._matchedRoute`. The accessors
 * stand on the app's own context prototype, so they cost nothing per request.
 *
 * Koa answers in a promise job that was made before any route was known, and so would be labelled without one. It reads
 * `ctx.respond` first.
 */
export function watchRoutes(ctx: object): void {
  if ((ctx as { readonly [WATCH]?: boolean })[WATCH]) return;
  const prototype = Object.getPrototypeOf(ctx) as object;
  if ('_matchedRoute' in prototype) return;
  Object.defineProperty(prototype, WATCH, { value: true });
  define(prototype, '_matchedRoute', {
    get: (self) => self[ROUTE],
    set: (self, route) => {
      self[ROUTE] = route;
      reach(self, routeTemplate(self, route as string | RegExp | undefined));
    },
  });
  if (!('mountPath' in prototype))
    define(prototype, 'mountPath', {
      get: (self) => self[MOUNT],
      set: (self, path) => {
        self[MOUNT] = path as string;
        (self[MOUNTS] ??= []).push(self[MOUNT]);
      },
    });
  if (!('respond' in prototype))
    define(prototype, 'respond', {
      get: (self) => {
        reach(self, self[TEMPLATE]);
        return self[RESPOND];
      },
      set: (self, respond) => (self[RESPOND] = respond),
    });
}

function define(
  prototype: object,
  name: string,
  { get, set }: { get: (self: Watched) => unknown; set: (self: Watched, value: unknown) => void },
): void {
  Object.defineProperty(prototype, name, {
    configurable: true,
    enumerable: true,
    get(this: Watched) {
      return get(this);
    },
    set(this: Watched, value: unknown) {
      set(this, value);
    },
  });
}

function reach(ctx: Watched, template: string | undefined): void {
  if (template === undefined) return;
  ctx[TEMPLATE] = template;
  setRequestRoute(ctx.req, template);
}

/**
 * The template of the route that the router has matched, with the mounts it was matched below; undefined: it was none. Whatever a
 * router leaves there, the request must not notice.
 */
function routeTemplate(ctx: Watched, route: string | RegExp | undefined): string | undefined {
  try {
    if (route === undefined || isMiddleware(ctx, route)) return undefined;
    return mountsOf(ctx) + String(route);
  } catch {
    return undefined;
  }
}

/** `@koa/router` 15 puts the path of what stands in `router.use()` there, too, while that runs. */
function isMiddleware({ matched }: RoutedContext, route: unknown): boolean {
  let isThere = false;
  for (const { path, methods } of matched ?? []) {
    if (path !== route) continue;
    if (methods.length > 0) return false;
    isThere = true;
  }
  return isThere;
}

/**
 * What koa-mount has taken off the path. `ctx.mountPath` is but the innermost that was entered, also when it has been left; so what
 * is missing from the URL is looked at, and believed where it is made of mounts: a path may have been rewritten as well.
 */
function mountsOf({ [MOUNTS]: mounts, originalUrl, path }: Watched): string {
  if (!mounts) return '';
  const [original = ''] = originalUrl.split('?');
  const rest = path === '/' && !original.endsWith('/') ? '' : path;
  if (original.endsWith(rest)) {
    const prefix = original.slice(0, original.length - rest.length);
    if (isMadeOf(prefix, mounts)) return prefix;
  }
  return mounts.at(-1) as string;
}

/** Whether some of the parts, in their order, are the whole. */
function isMadeOf(whole: string, parts: readonly string[]): boolean {
  if (whole === '') return true;
  return parts.some(
    (part, index) =>
      part !== '' && whole.startsWith(part) && isMadeOf(whole.slice(part.length), parts.slice(index + 1)),
  );
}
