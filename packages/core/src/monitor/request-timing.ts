/** One request on its way: what everybody may know of it, and what is needed to time it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RouteSeries } from './series.js';
import { addServerTiming } from './server-timing.js';

/** What is known of one request, as it goes. Times are monotonic, as `performance.now()`. */
export interface RequestTiming {
  readonly method: string;
  /** Template of the route, once one was reached: `/users/:id`. */
  readonly route: string | undefined;
  readonly startedAtMs: number;
  /** When the response's head was written. */
  readonly headersAtMs: number | undefined;
  /** When the last byte was out, or the client gone; known to every listener for the response's `finish` and `close`. */
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

/** Where a request has come to, and with which status. */
export type ReachedRoute = Pick<RequestTiming, 'method' | 'route' | 'statusCode'>;

/** Names the route when the response is over, for frameworks that tell only then; undefined: none was reached. */
export type RouteAtEnd = (reached: ReachedRoute, req: IncomingMessage) => string | undefined;

/** What times a request. */
export interface RequestWatcher {
  reach(tracked: TrackedRequest, route: string): void;
  /** The response's head is being written, with that first argument of `writeHead`; gives the value to add to it as `Server-Timing`. */
  head(tracked: TrackedRequest, res: ServerResponse, statusCode: unknown): string | undefined;
  end(tracked: TrackedRequest, res: ServerResponse): void;
  ignore(tracked: TrackedRequest): void;
  /** Gives what others may see of it, which is kept up to date from then on. */
  want(tracked: TrackedRequest): RequestTiming;
}

/** A method and a route, and what is looked up once for all requests of them. */
export interface LabelledRoute {
  readonly method: string;
  readonly route: string;
  /** What is counted for them, once there is something. */
  series: RouteSeries | undefined;
  /**
   * Labels the code that works on a request, from here on; gives whether every look at the thread tells whose code ran.
   * `isBeginning`: the request has not been labelled before.
   */
  enter(isBeginning: boolean): boolean;
}

/** What an adapter keeps with a request that is being timed. */
export interface RequestSlot {
  /** The one that is timed, until its end: what derives from it, or is copied from it, leads here too. */
  readonly req: IncomingMessage | undefined;
  /** The route as the framework has given it. */
  givenRoute: unknown;
}

/** A request that is being timed. */
export interface TrackedRequest extends RequestSlot {
  readonly method: string;
  route: string | undefined;
  readonly startedAtMs: number;
  headersAtMs: number | undefined;
  endedAtMs: number | undefined;
  statusCode: number | undefined;
  aborted: boolean;
  /** What loggers get, once somebody has asked: it leads neither to the request nor to its secrets. */
  timing: { -readonly [Field in keyof RequestTiming]: RequestTiming[Field] } | undefined;
  readonly watcher: RequestWatcher;
  readonly blockedTotalAtStartMs: number;
  readonly gcTotalAtStartMs: number;
  /** Let go at the end: what is remembered of a request must not keep all of it. */
  req: IncomingMessage | undefined;
  readonly routeAtEnd: RouteAtEnd | undefined;
  /** The last route it has reached, or that of those that have reached none. */
  reached: LabelledRoute;
  /** Where it is among those in flight; -1: it is not. */
  inFlightIndex: number;
  /** Its number among those that have ended; -1 before. */
  endedNumber: number;
  /** Numbers of the signs of work on it; -1: none. */
  beginSign: number;
  headSign: number;
}

type WriteHead = (this: ServerResponse, ...args: unknown[]) => ServerResponse;

/** Registered, so that every copy of this package sees that a request is timed already. */
const TIMING = Symbol.for('loopprof.request');

interface Timed {
  [TIMING]?: TrackedRequest;
}

/** The tracked request behind Node's; undefined where nobody times it. */
export function trackedRequest(req: IncomingMessage): TrackedRequest | undefined {
  return (req as Timed)[TIMING];
}

/**
 * Has the watcher of `tracked` told how the response goes on; throws where the response does not let itself be watched. The response
 * gets no mark beside `writeHead`: that costs as {@link requestSlot} says, and an app may send a request that it has made itself through
 * its own middleware again, for the same response.
 */
export function watchResponse(tracked: TrackedRequest, req: IncomingMessage, res: ServerResponse): void {
  const { writeHead } = res as unknown as { writeHead: WriteHead };
  // A constant first: where a function literal is assigned to a property, V8 makes it among the old objects, and there it would keep the whole
  // request until those are collected.
  const timedWriteHead = function (this: ServerResponse, ...args: unknown[]): ServerResponse {
    try {
      const serverTiming = tracked.watcher.head(tracked, this, args[0]);
      if (serverTiming !== undefined) addServerTiming(this, args, serverTiming);
    } catch {
      // What cannot be noted or added is not worth the response.
    }
    // Node's own call, for a head that the app has not written itself; a list of arguments costs more than the rest of this, and V8 makes
    // none where it sees none passed on.
    return args.length === 1 ? writeHead.call(this, args[0]) : writeHead.apply(this, args);
  };
  res.writeHead = timedWriteHead;
  (req as Timed)[TIMING] = tracked;
  const onOver = (): void => tracked.watcher.end(tracked, res);
  // First, so that the timing is complete for all other listeners. A response that has no socket yet, because others on the
  // connection are due before it, emits neither when the connection goes.
  res.prependListener('finish', onOver);
  res.prependListener('close', onOver);
}

/** The timing of a request that an adapter or a profiler is timing; undefined for others. */
export function getRequestTiming(req: IncomingMessage): RequestTiming | undefined {
  const tracked = trackedRequest(req);
  return tracked && (tracked.timing ?? tracked.watcher.want(tracked));
}

/**
 * What an adapter may keep with a timed request, instead of giving it one more property of its own; undefined for others. Before Node
 * 24 a property costs microseconds on an object whose prototype has been replaced, as Express does with every request: V8 makes a hidden
 * class of its own for each, and finds nothing it knows in any of them.
 */
export function requestSlot(req: IncomingMessage): RequestSlot | undefined {
  return trackedRequest(req);
}

/** Sets the template of the route that a timed request has reached. */
export function setRequestRoute(req: IncomingMessage, route: string): void {
  const tracked = trackedRequest(req);
  tracked?.watcher.reach(tracked, route);
}

/** Leaves a request out of the counts, if it is timed. */
export function ignoreRequest(req: IncomingMessage): void {
  const tracked = trackedRequest(req);
  tracked?.watcher.ignore(tracked);
}
