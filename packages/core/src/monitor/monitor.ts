import { channel } from 'node:diagnostics_channel';
import { EventLoopMonitor, type EventLoopDelay } from './event-loop.js';
import { GcMonitor, type GcReport } from './gc.js';
import { NO_REQUEST, RequestMonitor, UNROUTED, type RequestLabels, type RequestsReport } from './requests.js';
import { RunningRoutes, type RouteLook, type RouteOwner } from './running-routes.js';

export interface MonitorOptions {
  maxSeries: number;
  serverTiming: boolean;
  labels: RequestLabels;
}

/** A stretch in which the event loop was blocked. */
export interface BlockedStretch {
  /** Milliseconds since the epoch. */
  readonly startedMs: number;
  readonly durationMs: number;
  /** The route that ran most of it. */
  readonly method: string;
  readonly route: string;
}

export interface EventLoopReport {
  readonly delay: EventLoopDelay;
  /** Of the last ten seconds. */
  readonly utilization: number;
  readonly blockedTotalMs: number;
  /** The last ones, newest first. */
  readonly blocked: readonly BlockedStretch[];
}

/** What the routes' own times add up to. */
export interface Totals {
  readonly gcTotalMs: number;
  readonly eventLoopBlockedTotalMs: number;
}

const MAX_BLOCKED = 100;

const blockedChannel = channel('loopprof:blocked');

/** Counts what happens on this thread: requests, the event loop's delay, garbage collection, and who paid for it. */
export class Monitor {
  readonly requests: RequestMonitor;
  readonly gc: GcMonitor;
  readonly eventLoop: EventLoopMonitor;
  readonly #running = new RunningRoutes();
  readonly #blocked: BlockedStretch[] = [];

  constructor({ maxSeries, serverTiming, labels }: MonitorOptions) {
    this.gc = new GcMonitor((startMs, durationMs) => {
      this.#running.add({
        startMs,
        endMs: startMs + durationMs,
        durationMs,
        charge: (owner, ms) => (this.#routeOf(owner).gcOwnMs += ms),
      });
    });
    this.eventLoop = new EventLoopMonitor({
      onBlocked: (startMs, endMs) => {
        this.#running.add({
          startMs,
          endMs,
          durationMs: endMs - startMs,
          charge: (owner, ms) => (this.#routeOf(owner).eventLoopBlockingOwnMs += ms),
          conclude: (owner) => this.#noteBlocked(owner, startMs, endMs),
        });
      },
      onBeat: () => {
        this.requests.settle();
        // Without labels there are no looks to wait for.
        if (labels.always) return;
        this.#running.settle([], Infinity);
        this.#running.note(performance.now());
      },
    });
    this.requests = new RequestMonitor({
      maxSeries,
      serverTiming,
      labels,
      eventLoop: this.eventLoop,
      collecting: this.gc.intervals,
      running: this.#running,
    });
  }

  start(): void {
    this.gc.start();
    this.eventLoop.start();
  }

  stop(): void {
    this.gc.stop();
    this.eventLoop.stop();
  }

  /** Takes the looks of a harvest: they tell which route ran while the loop was blocked or garbage was collected. */
  settle(looks: readonly RouteLook[], untilMs: number): void {
    this.#running.settle(looks, untilMs);
  }

  requestsReport(): RequestsReport & Totals {
    return {
      ...this.requests.report(),
      gcTotalMs: this.gc.sumMs,
      eventLoopBlockedTotalMs: this.eventLoop.blocked.totalMs,
    };
  }

  gcReport(): GcReport {
    return this.gc.report();
  }

  eventLoopReport(): EventLoopReport {
    return {
      delay: this.eventLoop.delay,
      utilization: this.eventLoop.utilization,
      blockedTotalMs: this.eventLoop.blocked.totalMs,
      blocked: [...this.#blocked].reverse(),
    };
  }

  #routeOf(owner: RouteOwner | undefined): { gcOwnMs: number; eventLoopBlockingOwnMs: number } {
    return this.requests.route(owner?.method ?? '', routeName(owner));
  }

  #noteBlocked(owner: RouteOwner | undefined, startMs: number, endMs: number): void {
    const stretch = {
      startedMs: Date.now() - (performance.now() - startMs),
      durationMs: endMs - startMs,
      method: owner?.method ?? '',
      route: routeName(owner),
    };
    this.#blocked.push(stretch);
    if (this.#blocked.length > MAX_BLOCKED) this.#blocked.shift();
    if (blockedChannel.hasSubscribers) blockedChannel.publish(stretch);
  }
}

function routeName(owner: RouteOwner | undefined): string {
  return owner ? (owner.route ?? UNROUTED) : NO_REQUEST;
}
