import { channel } from 'node:diagnostics_channel';
import {
  EventLoopMonitor,
  type BlockedTurn,
  type EventLoopDelay,
  type Silence,
  type ThreadTimes,
} from './event-loop.js';
import { clockMs } from './clock.js';
import { GcMonitor, type GcReport } from './gc.js';
import { KeptTick } from './kept-tick.js';
import { RequestMonitor, type RequestLabels, type RequestsReport } from './requests.js';
import { NO_REQUEST, UNROUTED } from './route-names.js';
import { RunningRoutes, type RouteLook, type RouteOwner } from './running-routes.js';

export interface MonitorOptions {
  maxSeries: number;
  serverTiming: boolean;
  labels: RequestLabels;
  stallThresholdMs: number;
  /** What the system has given the thread so far; undefined where it does not tell. */
  threadTimes?: () => ThreadTimes | undefined;
  /** For how long of the last `durationMs` the process was not running at all. */
  stoppedMs?: (durationMs: number) => number;
  /** Whether a debugger stopped the thread in the last `durationMs`, as far as that was noticed. */
  pausedWithin?: (durationMs: number) => boolean;
  /** Told of what may be one callback's stall, as soon as it is known whose. */
  onStall?: (stall: MonitoredStall) => void;
  onBacklog?: (durationMs: number) => void;
  onBeat?: () => void;
  /** Told of what must never have been thrown: timers of the host's process run the monitor. */
  onFailure?: (error: unknown) => void;
}

/** A stall as the monitor sees it; times are `performance.now()`. */
export interface MonitoredStall {
  readonly startMs: number;
  readonly endMs: number;
  readonly waitedMs: number;
  readonly method: string;
  readonly route: string;
  readonly waitingRequests: number;
  readonly given: ThreadTimes | undefined;
  readonly stoppedMs: number;
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

/**
 * What came while the loop was blocked has all been taken up when so many turns bring no new request: a connection is accepted
 * in one, perhaps one in each, and read in the next. Under steady traffic every turn may bring one; but a loop that has waited for
 * events for that long had none left.
 */
const QUIET_TURNS = 3;
const QUIET_IDLE_MS = 1;
const MAX_TURNS = 1000;

const blockedChannel = channel('loopprof:blocked');

/** Counts what happens on this thread: requests, the event loop's delay, garbage collection, and who paid for it. */
export class Monitor {
  readonly requests: RequestMonitor;
  readonly gc: GcMonitor;
  readonly eventLoop: EventLoopMonitor;
  readonly #keptTick = new KeptTick();
  readonly #running: RunningRoutes;
  readonly #blocked: BlockedStretch[] = [];
  readonly #options: MonitorOptions;
  #turnsToNote = 0;

  constructor(options: MonitorOptions) {
    this.#options = options;
    const { maxSeries, serverTiming, labels, threadTimes, stallThresholdMs } = options;
    this.#running = new RunningRoutes(() => labels.always);
    this.gc = new GcMonitor((startMs, durationMs) =>
      this.#guarded(() => {
        this.#running.add({
          startMs,
          endMs: startMs + durationMs,
          durationMs,
          charge: (owner, ms) => (this.#routeOf(owner).gcOwnMs += ms),
        });
      }),
    );
    this.eventLoop = new EventLoopMonitor({
      ...(threadTimes ? { threadTimes } : {}),
      longSilenceMs: stallThresholdMs,
      onBlocked: (turn) => this.#guarded(() => this.#onBlocked(turn)),
      onBeat: () => {
        this.#guarded(() => options.onBeat?.());
        this.#guarded(() => this.#settleOnBeat());
        this.#guarded(() => this.#keptTick.beat());
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

  #onBlocked(turn: BlockedTurn): void {
    const { startMs, endMs } = turn;
    this.#running.add({
      startMs,
      endMs,
      durationMs: endMs - startMs,
      charge: (owner, ms) => (this.#routeOf(owner).eventLoopBlockingOwnMs += ms),
      conclude: (owner) => this.#noteBlocked(owner, startMs, endMs),
    });
    this.#noteTurn(turn);
  }

  #settleOnBeat(): void {
    this.requests.settle();
    // Without labels there are no looks to wait for.
    if (this.#options.labels.always) return;
    this.#running.settle(Infinity);
    this.#running.note(clockMs());
  }

  /** An exception of ours in a timer, or in an observer's callback, would end the process. */
  #guarded(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#options.onFailure?.(error);
    }
  }

  start(): void {
    this.gc.start();
    this.eventLoop.start();
  }

  stop(): void {
    this.gc.stop();
    this.eventLoop.stop();
    this.#keptTick.stop();
  }

  /** Takes the looks of a harvest: they tell which route ran while the loop was blocked or garbage was collected. */
  takeLooks(looks: readonly RouteLook[]): void {
    this.#running.take(looks);
  }

  /** Charges what has happened before `untilMs`, up to when there are looks. */
  settle(untilMs: number): void {
    this.#running.settle(untilMs);
  }

  /** Whether something has happened of which the next harvest will tell whose it was. */
  get waitsForLooks(): boolean {
    return this.eventLoop.overdue || this.#turnsToNote > 0 || this.#running.waiting;
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

  /** One callback may have held the loop for all of a long silence; the rest of the turn were many. */
  #noteTurn({ startMs: turnStartMs, endMs: turnEndMs, silences }: BlockedTurn): void {
    const { stallThresholdMs, onBacklog } = this.#options;
    const turnMs = turnEndMs - turnStartMs;
    if (this.#options.pausedWithin?.(turnMs)) return;
    const restMs = turnMs - silences.reduce((sum, { startMs, endMs }) => sum + endMs - startMs, 0);
    if (restMs >= stallThresholdMs) onBacklog?.(restMs);
    if (silences.length === 0) return;
    const stoppedMs = this.#options.stoppedMs?.(turnMs) ?? 0;
    const watches = silences.map((silence) => ({
      silence,
      endWatch: this.requests.watchWaiting(silence.startMs),
    }));
    this.#turnsToNote += 1;
    this.#afterArrivals(() => {
      this.#turnsToNote -= 1;
      // Who it was may be known only later, when those who waited have gone.
      for (const { silence, endWatch } of watches) this.#noteSilence(silence, stoppedMs, endWatch());
    });
  }

  #noteSilence(
    { startMs, endMs, waitedMs, given }: Silence,
    stoppedMs: number,
    waitingFor: (owner: RouteOwner | undefined) => number,
  ): void {
    this.#running.add({
      startMs,
      endMs,
      durationMs: endMs - startMs,
      charge: () => {},
      conclude: (owner) => {
        const { method = '' } = owner ?? {};
        const [route, waitingRequests] = [routeName(owner), waitingFor(owner)];
        this.#options.onStall?.({
          startMs,
          endMs,
          waitedMs,
          method,
          route,
          waitingRequests,
          given,
          stoppedMs,
        });
      },
    });
  }

  /** Calls back when what had piled up has been taken up. */
  #afterArrivals(callback: () => void): void {
    const { idleTime } = performance.nodeTiming;
    let begun = this.requests.begunCount;
    let quiet = 0;
    let turns = 0;
    const turn = (): void => {
      quiet = this.requests.begunCount === begun ? quiet + 1 : 0;
      begun = this.requests.begunCount;
      turns += 1;
      const hasWaited = performance.nodeTiming.idleTime - idleTime >= QUIET_IDLE_MS;
      if (quiet >= QUIET_TURNS || hasWaited || turns >= MAX_TURNS) this.#guarded(callback);
      else setImmediate(turn).unref();
    };
    setImmediate(turn).unref();
  }

  #routeOf(owner: RouteOwner | undefined): { gcOwnMs: number; eventLoopBlockingOwnMs: number } {
    return this.requests.route(owner?.method ?? '', routeName(owner));
  }

  #noteBlocked(owner: RouteOwner | undefined, startMs: number, endMs: number): void {
    const stretch = {
      startedMs: Date.now() - (clockMs() - startMs),
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
