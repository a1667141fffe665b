/** The requests of one stretch of time after the other: how the routes are now, not how they were since the start. */
import { LatencyHistogram } from './latency-histogram.js';
import { OTHER_METHOD, OTHER_ROUTE } from './series.js';
import type { RequestTiming } from './request-timing.js';
import { routeNameOf } from './route-names.js';

export interface RouteWindow {
  readonly method: string;
  readonly route: string;
  readonly count: number;
  /** Answers with a 5xx status. */
  readonly errors: number;
  readonly p99Ms: number;
}

class RouteCounts {
  errors = 0;
  readonly duration = new LatencyHistogram();
}

/** Counts the requests of one stretch; the next begins when it is read. */
export class RequestWindow {
  readonly overMs: number;
  readonly #maxRoutes: number;
  #routes = new Map<string, Map<string, RouteCounts>>();
  #size = 0;
  #beganMs: number;

  constructor({ overMs, maxRoutes, nowMs }: { overMs: number; maxRoutes: number; nowMs: number }) {
    this.overMs = overMs;
    this.#maxRoutes = maxRoutes;
    this.#beganMs = nowMs;
  }

  record(timing: RequestTiming): void {
    const { method, startedAtMs, endedAtMs = startedAtMs, statusCode = 0 } = timing;
    const counts = this.#counts(method, routeNameOf(timing));
    counts.duration.record(endedAtMs - startedAtMs);
    if (statusCode >= 500) counts.errors += 1;
  }

  /** The routes of the stretch, once it is over; undefined before. */
  take(nowMs: number): RouteWindow[] | undefined {
    if (nowMs - this.#beganMs < this.overMs) return undefined;
    const routes = this.#routes;
    this.#routes = new Map();
    this.#size = 0;
    this.#beganMs = nowMs;
    return [...routes].flatMap(([method, byRoute]) =>
      [...byRoute].map(([route, { errors, duration }]) => {
        const { count, p99Ms } = duration.summary();
        return { method, route, count, errors, p99Ms };
      }),
    );
  }

  #counts(method: string, route: string): RouteCounts {
    const byRoute = this.#routes.get(method) ?? new Map<string, RouteCounts>();
    this.#routes.set(method, byRoute);
    const found = byRoute.get(route);
    if (found) return found;
    if (this.#size >= this.#maxRoutes && route !== OTHER_ROUTE)
      return this.#counts(OTHER_METHOD, OTHER_ROUTE);
    const counts = new RouteCounts();
    byRoute.set(route, counts);
    this.#size += 1;
    return counts;
  }
}
