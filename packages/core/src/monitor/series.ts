/** The counters of one (method, route, status class), bounded in number. */
import { LatencyHistogram, type LatencySummary } from './latency-histogram.js';

/** What carries a status that is none: the connection ended before there was a response. */
export type StatusClass = '1xx' | '2xx' | '3xx' | '4xx' | '5xx' | 'none';

const STATUS_CLASSES: readonly StatusClass[] = ['none', '1xx', '2xx', '3xx', '4xx', '5xx'];

/** Methods kept apart; others come from attackers and typing errors. */
const METHODS = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'CONNECT',
  'OPTIONS',
  'TRACE',
  'PATCH',
  'QUERY',
]);

/** OpenTelemetry's name for a method outside the fixed set. */
export const OTHER_METHOD = '_OTHER';

/** Where requests go once there are as many series as are kept apart. */
export const OTHER_ROUTE = '(other)';

export interface SeriesReport {
  readonly method: string;
  readonly route: string;
  readonly statusClass: StatusClass;
  /** Requests that are over, aborted ones included. */
  readonly count: number;
  /** Requests whose client went away before the response was complete. */
  readonly aborted: number;
  readonly durationMs: LatencySummary;
  /** Time from the begin to the response's head. */
  readonly timeToHeadersMs: LatencySummary;
  /** How long the event loop was blocked while these requests were in flight, whoever blocked it, summed over them. */
  readonly eventLoopBlockedMs: number;
  /** How long garbage was collected while these requests were in flight, summed over them. */
  readonly gcMs: number;
}

export interface RouteReport {
  readonly method: string;
  readonly route: string;
  /** CPU that the main thread used for it; null where looks are not labelled all the time (`labels`). */
  readonly cpuMs: number | null;
  /** How long it blocked the event loop. Over all routes and `(no request)`: all the time it was blocked. */
  readonly eventLoopBlockingOwnMs: number;
  /** Garbage collection that ran while it did. Over all routes and `(no request)`: all there was. */
  readonly gcOwnMs: number;
}

export class Series {
  readonly route: RouteSeries;
  aborted = 0;
  eventLoopBlockedMs = 0;
  gcMs = 0;
  readonly duration = new LatencyHistogram();
  readonly timeToHeaders = new LatencyHistogram();

  constructor(route: RouteSeries) {
    this.route = route;
  }

  report(statusClass: StatusClass): SeriesReport {
    const durationMs = this.duration.summary();
    const { method, route } = this.route;
    return {
      method,
      route,
      statusClass,
      count: durationMs.count,
      aborted: this.aborted,
      durationMs,
      timeToHeadersMs: this.timeToHeaders.summary(),
      eventLoopBlockedMs: this.eventLoopBlockedMs,
      gcMs: this.gcMs,
    };
  }
}

/** All series of one method and route, by status class. */
export class RouteSeries {
  readonly method: string;
  readonly route: string;
  readonly byStatus: (Series | undefined)[] = [];
  cpuMs = 0;
  eventLoopBlockingOwnMs = 0;
  gcOwnMs = 0;

  constructor(method: string, route: string) {
    this.method = method;
    this.route = route;
  }
}

/** SeriesTable finds the series of a request, and keeps at most `maxSeries` apart. */
export class SeriesTable {
  readonly #maxSeries: number;
  readonly #routes = new Map<string, Map<string, RouteSeries>>();
  #size = 0;
  #routeCount = 0;
  #overflowed = 0;

  constructor(maxSeries: number) {
    this.#maxSeries = maxSeries;
  }

  /** Requests that were counted under `(other)` because the table was full. */
  get overflowed(): number {
    return this.#overflowed;
  }

  /** The series for that status; `(other)` when it would be one too many. */
  find(method: string, route: string, statusCode: number): Series {
    const statusIndex = statusIndexOf(statusCode);
    const found = this.#routes.get(method)?.get(route)?.byStatus[statusIndex];
    if (found) return found;
    if (this.#size < this.#maxSeries) return this.#add(method, route, statusIndex);
    this.#overflowed += 1;
    return this.#add(OTHER_METHOD, OTHER_ROUTE, statusIndex);
  }

  /** What is counted for a route whatever its status; `(other)` when it would be one too many. */
  route(method: string, route: string): RouteSeries {
    const found = this.#routes.get(method)?.get(route);
    if (found) return found;
    return this.#routeCount < this.#maxSeries
      ? this.#addRoute(method, route)
      : this.#addRoute(OTHER_METHOD, OTHER_ROUTE);
  }

  routeReport({ labelled }: { labelled: boolean }): RouteReport[] {
    return [...this.#routes.values()]
      .flatMap((routes) => [...routes.values()])
      .map(({ method, route, cpuMs, eventLoopBlockingOwnMs, gcOwnMs }) => ({
        method,
        route,
        cpuMs: labelled ? cpuMs : null,
        eventLoopBlockingOwnMs,
        gcOwnMs,
      }))
      .sort((a, b) => (b.cpuMs ?? 0) - (a.cpuMs ?? 0) || b.eventLoopBlockingOwnMs - a.eventLoopBlockingOwnMs);
  }

  report(): SeriesReport[] {
    const reports: SeriesReport[] = [];
    for (const routes of this.#routes.values()) {
      for (const { byStatus } of routes.values()) {
        byStatus.forEach((series, index) => {
          if (series) reports.push(series.report(STATUS_CLASSES[index] as StatusClass));
        });
      }
    }
    return reports.sort((a, b) => b.count - a.count);
  }

  #add(method: string, route: string, statusIndex: number): Series {
    const routeSeries = this.#addRoute(method, route);
    const existing = routeSeries.byStatus[statusIndex];
    if (existing) return existing;
    const series = new Series(routeSeries);
    routeSeries.byStatus[statusIndex] = series;
    if (route !== OTHER_ROUTE) this.#size += 1;
    return series;
  }

  #addRoute(method: string, route: string): RouteSeries {
    let routes = this.#routes.get(method);
    if (!routes) this.#routes.set(method, (routes = new Map<string, RouteSeries>()));
    let routeSeries = routes.get(route);
    if (!routeSeries) {
      routes.set(route, (routeSeries = new RouteSeries(method, route)));
      this.#routeCount += 1;
    }
    return routeSeries;
  }
}

/** The index of the status in `byStatus`; that of `none` for one that HTTP does not have. */
export function statusIndexOf(statusCode: number): number {
  return statusCode >= 100 && statusCode < 600 ? Math.floor(statusCode / 100) : 0;
}

/** The method, or `_OTHER` for one outside the fixed set. */
export function knownMethod(method: string): string {
  return METHODS.has(method) ? method : OTHER_METHOD;
}
