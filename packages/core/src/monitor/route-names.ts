/** What requests without a route are counted under. */
import type { ReachedRoute } from './request-timing.js';

/** Route of a response that was given before any route was reached: a middleware answered. */
export const UNROUTED = '(unrouted)';

/** Route of a 404 for which there was no route. */
export const UNMATCHED = '(unmatched)';

/** Route of what the process does for no request: its own timers, its start. */
export const NO_REQUEST = '(no request)';

/** The name under which a request that is over is counted. */
export function routeNameOf({ route, statusCode }: Pick<ReachedRoute, 'route' | 'statusCode'>): string {
  return route ?? (statusCode === 404 ? UNMATCHED : UNROUTED);
}
