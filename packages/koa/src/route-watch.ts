import type { IncomingMessage } from 'node:http';
import { setRequestRoute } from '@loopprof/core';

/** What `@koa/router` leaves on the context, and koa-mount, which takes its prefix off the path. */
export interface RoutedContext {
  readonly req: IncomingMessage;
  readonly _matchedRoute?: string | RegExp | undefined;
  readonly mountPath?: string;
  readonly response: { readonly _explicitStatus?: boolean };
}

const ROUTE = Symbol('loopprof.route');

const WATCH = Symbol.for('loopprof.routeWatch');

/**
 * Sees the moment in which the router reaches a route, before the handler runs: it assigns `ctx._matchedRoute`. The accessor
 * stands on the app's own context prototype, so it costs nothing per request.
 */
export function watchRoutes(ctx: object): void {
  const prototype = Object.getPrototypeOf(ctx) as object;
  if (WATCH in prototype || '_matchedRoute' in prototype) return;
  Object.defineProperty(prototype, WATCH, { value: true });
  Object.defineProperty(prototype, '_matchedRoute', {
    configurable: true,
    enumerable: true,
    get(this: { [ROUTE]?: unknown }) {
      return this[ROUTE];
    },
    set(this: RoutedContext & { [ROUTE]?: unknown }, route: unknown) {
      this[ROUTE] = route;
      try {
        const template = routeTemplate(this);
        if (template !== undefined) setRequestRoute(this.req, template);
      } catch {
        // Whatever a router leaves there, the request must not notice.
      }
    },
  });
}

/** The template of the route that the router has matched, with the mount it was matched below. */
export function routeTemplate({ _matchedRoute: route, mountPath = '' }: RoutedContext): string | undefined {
  return route === undefined ? undefined : mountPath + String(route);
}
