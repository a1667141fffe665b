import type { IncomingMessage } from 'node:http';
import { requestSlot, setRequestRoute } from '@loopprof/core';
import type { Request } from 'express';
import { RouteTemplates } from './route-template.js';

const ROUTE = Symbol('loopprof.route');

/** Where `router` 2.3 and later remembers errors: a 404 that was passed to `next()` is its route's own. */
const ROUTER_ERRORS = Symbol.for('router.tracing.publishedErrors');

const WATCH = Symbol.for('loopprof.routeWatch');

type Route = { path?: unknown } | undefined;

interface Watched {
  /** Where it is not kept with the timing: the request is not timed, or it had a route before, or its route was taken away. */
  [ROUTE]?: Route;
  [WATCH]?: boolean;
}

/**
 * Sees the moment in which the router reaches a route: it assigns `req.route`. An accessor on the prototype that the app's
 * requests share is the one place where that shows before the handler runs, and costs nothing per request. Apps that are mounted
 * in this one inherit it.
 */
export function watchRoutes(req: Request & Watched): void {
  if (req[WATCH]) return;
  const prototype = Object.getPrototypeOf(req) as object;
  // Express gives every app's requests a prototype of their own; nobody else's is touched.
  if ('route' in prototype || !Object.hasOwn(prototype, 'app')) return;
  const templates = new RouteTemplates();
  Object.defineProperty(prototype, WATCH, { value: true });
  Object.defineProperty(prototype, 'route', {
    configurable: true,
    enumerable: true,
    get(this: Request & Watched) {
      return ROUTE in this ? this[ROUTE] : requestSlot(this)?.givenRoute;
    },
    set(this: Request & Watched, route: Route) {
      const slot = requestSlot(this);
      const isTimed = slot?.req === this;
      // Express says it twice: the router, and then the route itself.
      if (route && route === (isTimed ? slot.givenRoute : this[ROUTE])) return;
      if (isTimed) slot.givenRoute = route;
      if (!isTimed || !route || ROUTE in this) this[ROUTE] = route;
      if (route) setRequestRoute(this, safeTemplate(templates, this, route));
    },
  });
}

/** Of requests that no accessor has seen. */
const LEFT_BEHIND = new RouteTemplates();

/**
 * The template of a route that was reached unseen: by an app that is called as a function instead of mounted, whose requests have
 * another prototype. From the next one on, it is seen.
 */
export function routeLeftBehind(req: IncomingMessage): string | undefined {
  const { route, app } = req as { route?: { path?: unknown }; app?: object };
  if (!route || !app) return undefined;
  watchRoutes(req as Request);
  return safeTemplate(LEFT_BEHIND, req as Request, route);
}

/** Whatever Express may change inside, a request must not notice. */
function safeTemplate(templates: RouteTemplates, req: Request, route: { path?: unknown }): string {
  try {
    return templates.of(req, route);
  } catch {
    return '(unknown)';
  }
}

/** After the outermost router has given up, `req.next` is what it was before: a 404 then is nobody's, whatever route was tried. */
export function leftRouter(req: IncomingMessage): boolean {
  return (req as Request).next === undefined && !(ROUTER_ERRORS in req);
}
