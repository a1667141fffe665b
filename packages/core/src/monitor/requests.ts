/**
 * Times requests from the first sight of them to the end of their response. Adapters say when a request begins and which route
 * it reached; the rest is read off Node's own response, so that errors, aborts and streams need no help.
 */
import { channel } from 'node:diagnostics_channel';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { clockMs } from './clock.js';
import { EndedRequests } from './ended-requests.js';
import type { EventLoopMonitor } from './event-loop.js';
import { InFlightRequests } from './in-flight-requests.js';
import type { Intervals } from './intervals.js';
import {
  trackedRequest,
  watchResponse,
  type LabelledRoute,
  type RequestTiming,
  type RequestWatcher,
  type RouteAtEnd,
  type TrackedRequest,
} from './request-timing.js';
import { routeNameOf, UNROUTED } from './route-names.js';
import type { RouteOwner, RunningRoutes } from './running-routes.js';
import {
  knownMethod,
  SeriesTable,
  statusIndexOf,
  type RouteReport,
  type RouteSeries,
  type Series,
  type SeriesReport,
} from './series.js';
import { SERVER_TIMING } from './server-timing.js';

/** Where requests are labelled. */
export interface RequestLabels {
  /** Whether every look at the thread tells whose code ran. */
  readonly always: boolean;
  /** One and the same for each method and route; `(other)` where there would be too many. */
  of(method: string, route: string): LabelledRoute;
}

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

const requestChannel = channel('loopprof:request');

/**
 * Beats of the event loop's monitor between the end of a request and its settlement: collections are reported through two
 * phases of the loop, and this many beats lie behind those.
 */
const BEATS_TO_SETTLE = 3;

/** Once a second. */
const BEATS_PER_SWEEP = 50;

/** What the requests of a method begin with. */
interface Beginning {
  readonly method: string;
  readonly unrouted: LabelledRoute;
}

interface RequestMonitorOptions {
  maxSeries: number;
  serverTiming: boolean;
  labels: RequestLabels;
  eventLoop: EventLoopMonitor;
  /** When garbage was collected. */
  collecting: Intervals;
  running: RunningRoutes;
}

/** RequestMonitor counts what its requests come to. */
export class RequestMonitor implements RequestWatcher {
  readonly options: Readonly<RequestMonitorOptions>;
  readonly #series: SeriesTable;
  readonly #inFlight = new InFlightRequests();
  readonly #startedAtMs = clockMs();
  readonly #listeners = new Map<(timing: RequestTiming) => void, number>();
  readonly #ended: EndedRequests;
  /** How many had ended at each of the last beats. */
  readonly #endedAtBeats: number[] = [];
  /** Who listens wants requests that took this long. */
  #wantedFromMs = Infinity;
  /** By method; there are few. */
  readonly #beginnings = new Map<string, Beginning>();
  /** The last one: mostly the next request is of the same method. */
  #beginning: Beginning | undefined;
  readonly #unroutedOwners = new Map<string, RouteOwner>();
  #beats = 0;
  #begunCount = 0;
  #watching: RouteOwner[][] = [];

  constructor(options: RequestMonitorOptions) {
    this.options = options;
    this.#series = new SeriesTable(options.maxSeries);
    this.#ended = new EndedRequests({
      blocked: options.eventLoop.blocked,
      collecting: options.collecting,
      onSettled: (timing) => this.#tell(timing),
    });
  }

  /** How many requests have begun so far. */
  get begunCount(): number {
    return this.#begunCount;
  }

  /** Begins to time a request, unless that is done already. */
  begin(req: IncomingMessage, res: ServerResponse, routeAtEnd?: RouteAtEnd): void {
    if (trackedRequest(req)) return;
    const { running, eventLoop, collecting } = this.options;
    const last = this.#beginning;
    const { method, unrouted } = last && last.method === req.method ? last : this.#beginningOf(req.method);
    const startedAtMs = clockMs();
    const tracked: TrackedRequest = {
      method,
      route: undefined,
      startedAtMs,
      headersAtMs: undefined,
      endedAtMs: undefined,
      statusCode: undefined,
      aborted: false,
      timing: undefined,
      watcher: this,
      blockedTotalAtStartMs: eventLoop.blocked.totalMs,
      gcTotalAtStartMs: collecting.totalMs,
      req,
      routeAtEnd,
      givenRoute: undefined,
      reached: unrouted,
      inFlightIndex: -1,
      endedNumber: -1,
      beginSign: -1,
      headSign: -1,
    };
    watchResponse(tracked, req, res);
    this.#inFlight.add(tracked);
    this.#begunCount += 1;
    eventLoop.mark(startedAtMs);
    if (!unrouted.enter(true)) tracked.beginSign = running.note(startedAtMs, tracked);
    // Answered before it came here: nothing will be heard of it any more.
    if (res.writableFinished || res.destroyed) this.end(tracked, res);
  }

  /** Notes which route a request has reached. */
  reach(tracked: TrackedRequest, route: string): void {
    tracked.route = route;
    if (tracked.timing) tracked.timing.route = route;
    tracked.reached = this.options.labels.of(tracked.method, route);
    tracked.reached.enter(false);
  }

  /** Charges CPU that was used for a route, or for no request. */
  chargeCpu(method: string, route: string, cpuMs: number): void {
    this.#series.route(method, route).cpuMs += cpuMs;
  }

  /** Counts a request whose response is over. */
  end(tracked: TrackedRequest, res: ServerResponse): void {
    // Of `finish` and `close` the first counts.
    if (tracked.inFlightIndex < 0) return;
    // HTTP/2 takes a stream that was reset for finished, ended or not.
    const isWhole = res.writableFinished && res.writableEnded;
    tracked.aborted = !isWhole && (res.headersSent || !isUpgraded(tracked.req));
    tracked.statusCode = res.headersSent ? res.statusCode : undefined;
    this.#count(tracked);
  }

  /** Called on every beat of the event loop's monitor: counts the requests that have ended, and settles those that did some beats ago. */
  settle(): void {
    this.#sweep();
    this.#ended.countLatencies();
    this.#endedAtBeats.push(this.#ended.count);
    if (this.#endedAtBeats.length >= BEATS_TO_SETTLE)
      this.#ended.settle(this.#endedAtBeats.shift() as number);
  }

  /** Calls `listener` with every request that took `fromMs` or longer, once it is settled; gives the way to stop that. */
  subscribe(listener: (timing: RequestTiming) => void, fromMs: number): () => void {
    const change = (): void => {
      this.#wantedFromMs = Math.min(Infinity, ...this.#listeners.values());
    };
    this.#listeners.set(listener, fromMs);
    change();
    return () => {
      this.#listeners.delete(listener);
      change();
    };
  }

  /** Gives what others may see of a request, which is kept up to date from then on. */
  want(tracked: TrackedRequest): RequestTiming {
    if (tracked.timing) return tracked.timing;
    const { method, route, startedAtMs, headersAtMs, endedAtMs, statusCode, aborted } = tracked;
    const later = { eventLoopBlockedMs: undefined, gcMs: undefined };
    const timing = { method, route, startedAtMs, headersAtMs, endedAtMs, statusCode, aborted, ...later };
    tracked.timing = timing;
    if (tracked.endedNumber >= 0) this.#ended.want(tracked, timing);
    return timing;
  }

  /** The response's head is being written; gives the value to add to it as `Server-Timing`. */
  head(tracked: TrackedRequest, res: ServerResponse, statusCode: unknown): string | undefined {
    const { timing, startedAtMs } = tracked;
    if (res.headersSent) return undefined;
    const refusedBefore = tracked.headersAtMs !== undefined;
    const headersAtMs = clockMs();
    tracked.headersAtMs = headersAtMs;
    tracked.statusCode = typeof statusCode === 'number' ? statusCode : res.statusCode;
    if (timing) Object.assign(timing, { headersAtMs, statusCode: tracked.statusCode });
    const { running, serverTiming, eventLoop, collecting } = this.options;
    eventLoop.markWithin(headersAtMs);
    if (tracked.beginSign >= 0 && tracked.inFlightIndex >= 0) {
      if (refusedBefore) running.replace(tracked.headSign, ownerOf(tracked));
      tracked.headSign = running.note(headersAtMs, tracked);
    }
    // A head that Node has refused may have left ours behind.
    if (!serverTiming || (refusedBefore && res.hasHeader(SERVER_TIMING))) return undefined;
    const loop = eventLoop.blockedSinceMs(startedAtMs, tracked.blockedTotalAtStartMs);
    const gc = collecting.coveredMs(startedAtMs, headersAtMs, tracked.gcTotalAtStartMs);
    return `app;dur=${(headersAtMs - startedAtMs).toFixed(1)}, loop;desc="event loop blocked";dur=${loop.toFixed(1)}, gc;dur=${gc.toFixed(1)}`;
  }

  /**
   * Watches who had to wait while the loop was blocked since that time, from now on: gives the way to end that, which gives the
   * way to count them once it is known whose request blocked it. Nobody but who blocked it can have ended meanwhile.
   */
  watchWaiting(startMs: number): () => (owner: RouteOwner | undefined) => number {
    const ended: RouteOwner[] = [];
    this.#ended.forEach((_startedAtMs, endedAtMs, owner) => {
      if (endedAtMs > startMs) ended.push(owner);
    });
    this.#watching.push(ended);
    return () => {
      this.#watching = this.#watching.filter((each) => each !== ended);
      const present = [...this.#inFlight.oldestFirst(), ...ended];
      // One of the owner's is the one that blocked.
      return (owner) => present.length - (owner && present.some(isOf(owner)) ? 1 : 0);
    };
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
    for (const tracked of this.#inFlight.oldestFirst()) {
      const { req } = tracked;
      // A request that somebody has made by hand has no socket, whatever its type says.
      const socket: { destroyed: boolean } | undefined = req?.socket;
      if (!socket?.destroyed) continue;
      tracked.aborted = !isUpgraded(req);
      tracked.statusCode = undefined;
      this.#count(tracked);
    }
  }

  /** Counts a request that ends now, and of which it is known how. */
  #count(tracked: TrackedRequest): void {
    if (!this.#inFlight.delete(tracked)) return;
    const endedAtMs = clockMs();
    this.options.eventLoop.markWithin(endedAtMs);
    tracked.endedAtMs = endedAtMs;
    const { statusCode, aborted } = tracked;
    const route = routeOf(tracked);
    // Whoever names the route may have been the first to ask for it.
    if (tracked.timing)
      Object.assign(tracked.timing, { endedAtMs, statusCode, aborted, route: tracked.route });
    const series = this.#seriesOf(tracked, route);
    if (aborted) series.aborted += 1;
    tracked.req = undefined;
    // V8 gives objects that outlive their request a place among the old ones from then on, which makes all later ones dearer.
    const owner = tracked.route === undefined ? this.#unroutedOwner(tracked.method) : series.route;
    for (const watch of this.#watching) watch.push(owner);
    tracked.endedNumber = this.#ended.add(tracked, series, endedAtMs);
    if (tracked.timing) this.#ended.want(tracked, tracked.timing);
    else if (endedAtMs - tracked.startedAtMs >= this.#wantedFromMs || requestChannel.hasSubscribers)
      this.want(tracked);
    if (tracked.beginSign >= 0) this.#releaseSigns(tracked, owner);
  }

  /** What is remembered of when the request was worked on is from here on remembered of its route. */
  #releaseSigns({ beginSign, headSign }: TrackedRequest, owner: RouteOwner): void {
    this.options.running.replace(beginSign, owner);
    this.options.running.replace(headSign, owner);
  }

  /** Looked up for the first request of a route only. */
  #seriesOf({ method, statusCode = 0, reached }: TrackedRequest, route: string): Series {
    const isSame = reached.route === route && reached.method === method;
    const known = isSame ? reached.series?.byStatus[statusIndexOf(statusCode)] : undefined;
    if (known) return known;
    const found = this.#series.find(method, route, statusCode);
    // Not that of all others, once there are too many.
    if (isSame && found.route.route === route && found.route.method === method) reached.series = found.route;
    return found;
  }

  /** Methods outside the fixed set are one: clients can think of any number of them. */
  #beginningOf(given = ''): Beginning {
    const method = this.#beginnings.has(given) ? given : knownMethod(given);
    let beginning = this.#beginnings.get(method);
    if (!beginning) {
      beginning = { method, unrouted: this.options.labels.of(method, UNROUTED) };
      this.#beginnings.set(method, beginning);
    }
    return (this.#beginning = beginning);
  }

  #unroutedOwner(method: string): RouteOwner {
    let owner = this.#unroutedOwners.get(method);
    if (!owner) this.#unroutedOwners.set(method, (owner = { method, route: undefined }));
    return owner;
  }

  #tell(timing: RequestTiming): void {
    const tookMs = (timing.endedAtMs ?? NaN) - timing.startedAtMs;
    for (const [listener, fromMs] of this.#listeners) if (tookMs >= fromMs) listener(timing);
    if (requestChannel.hasSubscribers) requestChannel.publish(timing);
  }

  /** Leaves a request out of all counts: it was for ourselves. */
  ignore(tracked: TrackedRequest): void {
    this.#inFlight.delete(tracked);
    tracked.req = undefined;
    if (tracked.beginSign >= 0) this.#releaseSigns(tracked, ownerOf(tracked));
  }

  /** Requests whose response is not over, oldest first. Times are monotonic. */
  *inFlight(): Generator<{ readonly route: string; readonly startedAtMs: number }, void> {
    for (const { route = UNROUTED, startedAtMs } of this.#inFlight.oldestFirst())
      yield { route, startedAtMs };
  }

  report(): RequestsReport {
    const reportedAtMs = clockMs();
    this.#ended.countLatencies();
    const oldest = this.#inFlight.oldestFirst().slice(0, MAX_LISTED_IN_FLIGHT);
    const inFlight = oldest.map(({ method, route = UNROUTED, startedAtMs }) => ({
      method,
      route,
      ageMs: reportedAtMs - startedAtMs,
    }));
    return {
      forMs: reportedAtMs - this.#startedAtMs,
      series: this.#series.report(),
      routes: this.#series.routeReport({ labelled: this.options.labels.always }),
      overflowed: this.#series.overflowed,
      inFlightCount: this.#inFlight.size,
      inFlight,
    };
  }
}

function isOf(owner: RouteOwner): (other: RouteOwner) => boolean {
  return ({ method, route }) => method === owner.method && route === owner.route;
}

/** What stays of a request where it is to be remembered without all of it. */
function ownerOf({ method, route }: TrackedRequest): RouteOwner {
  return { method, route };
}

function routeOf(tracked: TrackedRequest): string {
  const { routeAtEnd, req, method, route, statusCode } = tracked;
  try {
    if (routeAtEnd && req) tracked.route = routeAtEnd({ method, route, statusCode }, req);
  } catch {
    // An adapter that cannot name a route must not become the app's uncaught exception.
  }
  return routeNameOf(tracked);
}

/** Node gives the connection of such a request away, to a WebSocket: that it ends without a response is no abort. */
function isUpgraded(req: (IncomingMessage & { upgrade?: boolean | null }) | undefined): boolean {
  return req?.upgrade === true;
}
