/**
 * Times requests from the first sight of them to the end of their response. Adapters say when a request begins and which route
 * it reached; the rest is read off Node's own response, so that errors, aborts and streams need no help.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import onFinished from 'on-finished';
import { channel } from 'node:diagnostics_channel';
import type { EventLoopMonitor } from './event-loop.js';
import type { Intervals } from './intervals.js';
import type { RouteOwner, RunningRoutes } from './running-routes.js';
import {
  knownMethod,
  SeriesTable,
  type RouteReport,
  type RouteSeries,
  type Series,
  type SeriesReport,
} from './series.js';

/** Route of a response that was given before any route was reached: a middleware answered. */
export const UNROUTED = '(unrouted)';

/** Route of a 404 for which there was no route. */
export const UNMATCHED = '(unmatched)';

/** Route of what the process does for no request: its own timers, its start. */
export const NO_REQUEST = '(no request)';

/** Labels the code that works on a request, from here on. */
export interface RequestLabels {
  /** Whether every look at the thread tells whose code ran. */
  readonly always: boolean;
  enter(method: string, route: string): void;
}

/** What is known of one request, as it goes. Times are monotonic, as `performance.now()`. */
export interface RequestTiming {
  readonly method: string;
  /** Template of the route, once one was reached: `/users/:id`. */
  readonly route: string | undefined;
  readonly startedAtMs: number;
  /** When the response's head was written. */
  readonly headersAtMs: number | undefined;
  readonly endedAtMs: number | undefined;
  /** Undefined until the response's head is written. */
  readonly statusCode: number | undefined;
  /** Whether the client went away before the response was complete. */
  readonly aborted: boolean;
  /** How long the event loop was blocked while it was in flight, whoever blocked it; known some 60 ms after its end. */
  readonly eventLoopBlockedMs: number | undefined;
  /** How long garbage was collected while it was in flight; known some 60 ms after its end. */
  readonly gcMs: number | undefined;
}

/** Names the route when the response is over, for frameworks that tell only then; undefined: none was reached. */
export type RouteAtEnd = (timing: RequestTiming, req: IncomingMessage) => string | undefined;

export interface InFlightRequest {
  readonly method: string;
  readonly route: string;
  readonly ageMs: number;
}

export interface RequestsReport {
  /** How long requests have been counted. */
  readonly forMs: number;
  /** Most requests first. */
  readonly series: readonly SeriesReport[];
  /** What is known of a route whatever the status, most CPU first. */
  readonly routes: readonly RouteReport[];
  /** Requests that are counted under `(other)` because `maxSeries` was reached. */
  readonly overflowed: number;
  readonly inFlightCount: number;
  /** The oldest ones. */
  readonly inFlight: readonly InFlightRequest[];
}

const MAX_LISTED_IN_FLIGHT = 100;

/** Registered, so that every copy of this package sees that a request is timed already. */
const TIMING = Symbol.for('loopprof.request');

interface Timed {
  [TIMING]?: TrackedRequest;
}

const requestChannel = channel('loopprof:request');

/**
 * Beats of the event loop's monitor between the end of a request and its settlement: collections are reported through two
 * phases of the loop, and this many beats lie behind those.
 */
const BEATS_TO_SETTLE = 3;

/** Once a second. */
const BEATS_PER_SWEEP = 50;

/** Requests that wait to be settled; past that they are settled with what is known. */
const MAX_UNSETTLED = 100_000;

interface RequestMonitorOptions {
  maxSeries: number;
  serverTiming: boolean;
  labels: RequestLabels;
  eventLoop: EventLoopMonitor;
  /** When garbage was collected. */
  collecting: Intervals;
  running: RunningRoutes;
}

class TrackedRequest implements RequestTiming, RouteOwner {
  readonly method: string;
  route: string | undefined = undefined;
  readonly startedAtMs = performance.now();
  headersAtMs: number | undefined = undefined;
  endedAtMs: number | undefined = undefined;
  statusCode: number | undefined = undefined;
  aborted = false;
  eventLoopBlockedMs: number | undefined = undefined;
  gcMs: number | undefined = undefined;
  series: Series | undefined = undefined;
  readonly blockedTotalAtStartMs: number;
  readonly gcTotalAtStartMs: number;
  readonly monitor: RequestMonitor;
  /** Let go at the end: what is remembered of a request must not keep all of it. */
  req: IncomingMessage | undefined;
  readonly routeAtEnd: RouteAtEnd | undefined;
  readonly writeHead: (...args: unknown[]) => unknown;

  constructor(
    monitor: RequestMonitor,
    { req, res }: { req: IncomingMessage; res: ServerResponse },
    routeAtEnd: RouteAtEnd | undefined,
  ) {
    this.method = knownMethod(req.method ?? '');
    this.monitor = monitor;
    this.blockedTotalAtStartMs = monitor.options.eventLoop.blocked.totalMs;
    this.gcTotalAtStartMs = monitor.options.collecting.totalMs;
    this.req = req;
    this.routeAtEnd = routeAtEnd;
    this.writeHead = (res as unknown as { writeHead: (...args: unknown[]) => unknown }).writeHead;
  }

  /** What loggers see: the public part, without the request itself and its secrets. */
  toJSON(): RequestTiming {
    const {
      method,
      route,
      startedAtMs,
      headersAtMs,
      endedAtMs,
      statusCode,
      aborted,
      eventLoopBlockedMs,
      gcMs,
    } = this;
    return {
      method,
      route,
      startedAtMs,
      headersAtMs,
      endedAtMs,
      statusCode,
      aborted,
      eventLoopBlockedMs,
      gcMs,
    };
  }
}

export class RequestMonitor {
  readonly options: Readonly<RequestMonitorOptions>;
  readonly #series: SeriesTable;
  readonly #inFlight = new Set<TrackedRequest>();
  readonly #startedAtMs = performance.now();
  readonly #listeners = new Set<(timing: RequestTiming) => void>();
  #unsettled: TrackedRequest[][] = [[]];
  #beats = 0;

  constructor(options: RequestMonitorOptions) {
    this.options = options;
    this.#series = new SeriesTable(options.maxSeries);
  }

  /** Begins to time a request, unless that is done already. */
  begin(req: IncomingMessage, res: ServerResponse, routeAtEnd?: RouteAtEnd): void {
    if ((req as Timed)[TIMING]) return;
    const tracked = new TrackedRequest(this, { req, res }, routeAtEnd);
    (req as Timed)[TIMING] = tracked;
    (res as Timed)[TIMING] = tracked;
    res.writeHead = timedWriteHead as ServerResponse['writeHead'];
    this.#inFlight.add(tracked);
    onFinished(res, onResponseOver);
    this.options.labels.enter(tracked.method, UNROUTED);
    if (!this.options.labels.always) this.options.running.note(tracked.startedAtMs, tracked);
  }

  /** Notes which route a request has reached. */
  reach(tracked: TrackedRequest, route: string): void {
    tracked.route = route;
    this.options.labels.enter(tracked.method, route);
  }

  /** Charges CPU that was used for a route, or for no request. */
  chargeCpu(method: string, route: string, cpuMs: number): void {
    this.#series.route(method, route).cpuMs += cpuMs;
  }

  /** Counts a request whose response is over. */
  end(
    tracked: TrackedRequest,
    { statusCode, aborted }: { statusCode: number | undefined; aborted: boolean },
  ): void {
    if (!this.#inFlight.delete(tracked)) return;
    tracked.endedAtMs = performance.now();
    tracked.statusCode = statusCode;
    tracked.aborted = aborted;
    const route = routeOf(tracked);
    const series = this.#series.find(tracked.method, route, statusCode ?? 0);
    series.duration.record(tracked.endedAtMs - tracked.startedAtMs);
    if (tracked.headersAtMs !== undefined)
      series.timeToHeaders.record(tracked.headersAtMs - tracked.startedAtMs);
    if (aborted) series.aborted += 1;
    tracked.series = series;
    tracked.req = undefined;
    const ended = this.#unsettled.at(-1) as TrackedRequest[];
    ended.push(tracked);
    if (ended.length >= MAX_UNSETTLED)
      this.#settleAll(this.#unsettled.splice(0, this.#unsettled.length, []).flat());
  }

  /** Called on every beat of the event loop's monitor: settles the requests that ended some beats ago. */
  settle(): void {
    this.#sweep();
    this.#unsettled.push([]);
    if (this.#unsettled.length > BEATS_TO_SETTLE)
      this.#settleAll(this.#unsettled.shift() as TrackedRequest[]);
  }

  /** Calls `listener` with every request once it is settled; gives the way to stop that. */
  subscribe(listener: (timing: RequestTiming) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** The response's head is being written. */
  headers(tracked: TrackedRequest, res: ServerResponse, statusCode: number): void {
    if (tracked.headersAtMs !== undefined) return;
    const nowMs = performance.now();
    tracked.headersAtMs = nowMs;
    tracked.statusCode = statusCode;
    const { labels, running, serverTiming, eventLoop, collecting } = this.options;
    if (!labels.always) running.note(nowMs, tracked);
    if (!serverTiming) return;
    const { startedAtMs, blockedTotalAtStartMs, gcTotalAtStartMs } = tracked;
    const loop = eventLoop.blockedSinceMs(startedAtMs, blockedTotalAtStartMs);
    const gc = collecting.coveredMs(startedAtMs, nowMs, gcTotalAtStartMs);
    res.appendHeader(
      'Server-Timing',
      `app;dur=${(nowMs - startedAtMs).toFixed(1)}, loop;desc="event loop blocked";dur=${loop.toFixed(1)}, gc;dur=${gc.toFixed(1)}`,
    );
  }

  /** What is counted for a route whatever the status. */
  route(method: string, route: string): RouteSeries {
    return this.#series.route(method, route);
  }

  /**
   * A pipelined response whose turn has not come has no socket of its own, so nothing is emitted on it when the connection goes:
   * such requests are looked for now and then.
   */
  #sweep(): void {
    this.#beats += 1;
    if (this.#beats % BEATS_PER_SWEEP !== 0) return;
    for (const tracked of this.#inFlight) {
      if (tracked.req?.socket.destroyed) this.end(tracked, { statusCode: undefined, aborted: true });
    }
  }

  #settleAll(ended: readonly TrackedRequest[]): void {
    const { eventLoop, collecting } = this.options;
    for (const tracked of ended) {
      const { startedAtMs, endedAtMs = startedAtMs, series } = tracked;
      tracked.eventLoopBlockedMs = eventLoop.blocked.coveredMs(
        startedAtMs,
        endedAtMs,
        tracked.blockedTotalAtStartMs,
      );
      tracked.gcMs = collecting.coveredMs(startedAtMs, endedAtMs, tracked.gcTotalAtStartMs);
      if (series) {
        series.eventLoopBlockedMs += tracked.eventLoopBlockedMs;
        series.gcMs += tracked.gcMs;
      }
      for (const listener of this.#listeners) listener(tracked);
      if (requestChannel.hasSubscribers) requestChannel.publish(tracked);
    }
  }

  /** Leaves a request out of all counts: it was for ourselves. */
  ignore(tracked: TrackedRequest): void {
    this.#inFlight.delete(tracked);
    tracked.req = undefined;
  }

  report(): RequestsReport {
    const nowMs = performance.now();
    const inFlight: InFlightRequest[] = [];
    for (const { method, route, startedAtMs } of this.#inFlight) {
      if (inFlight.length === MAX_LISTED_IN_FLIGHT) break;
      inFlight.push({ method, route: route ?? UNROUTED, ageMs: nowMs - startedAtMs });
    }
    return {
      forMs: nowMs - this.#startedAtMs,
      series: this.#series.report(),
      routes: this.#series.routeReport({ labelled: this.options.labels.always }),
      overflowed: this.#series.overflowed,
      inFlightCount: this.#inFlight.size,
      inFlight,
    };
  }
}

/** The timing of a request that an adapter or a profiler is timing; undefined for others. */
export function getRequestTiming(req: IncomingMessage): RequestTiming | undefined {
  return (req as Timed)[TIMING];
}

/** Sets the template of the route that a timed request has reached. */
export function setRequestRoute(req: IncomingMessage, route: string): void {
  const tracked = (req as Timed)[TIMING];
  tracked?.monitor.reach(tracked, route);
}

/** Leaves a request out of the counts, if it is timed. */
export function ignoreRequest(req: IncomingMessage): void {
  const tracked = (req as Timed)[TIMING];
  tracked?.monitor.ignore(tracked);
}

function timedWriteHead(this: ServerResponse & Timed, ...args: unknown[]): unknown {
  const tracked = this[TIMING] as TrackedRequest;
  try {
    tracked.monitor.headers(tracked, this, typeof args[0] === 'number' ? args[0] : this.statusCode);
  } catch {
    // A header that cannot be added any more is not worth the response.
  }
  return tracked.writeHead.apply(this, args);
}

function onResponseOver(_error: Error | null, res: ServerResponse): void {
  const tracked = (res as Timed)[TIMING] as TrackedRequest;
  tracked.monitor.end(tracked, {
    statusCode: res.headersSent ? res.statusCode : undefined,
    aborted: !res.writableFinished,
  });
}

function routeOf(tracked: TrackedRequest): string {
  const { routeAtEnd, req } = tracked;
  try {
    if (routeAtEnd && req) tracked.route = routeAtEnd(tracked, req);
  } catch {
    // An adapter that cannot name a route must not become the app's uncaught exception.
  }
  return routeNameOf(tracked);
}

/** The name under which a request that is over is counted. */
export function routeNameOf({ route, statusCode }: RequestTiming): string {
  return route ?? (statusCode === 404 ? UNMATCHED : UNROUTED);
}
