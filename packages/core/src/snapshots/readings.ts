/** What the rules of `triggers` look at: plain data, so that they can be looked at in another thread than they are read in. */

export interface StallReading {
  /** By the monotonic clock that all threads share, as far as it is known. */
  readonly startedMs?: number;
  readonly durationMs: number;
  /** The route that held the loop, as far as it is known. */
  readonly method?: string;
  readonly route?: string;
  /** It has not ended yet. */
  readonly ongoing?: boolean;
}

/** A route's requests in one stretch of time. */
export interface RouteReading {
  readonly method: string;
  readonly route: string;
  readonly count: number;
  /** Answers with a 5xx status. */
  readonly errors: number;
  readonly p99Ms: number;
}

/** The routes of a stretch that has just ended. */
export interface RequestsReading {
  readonly overMs: number;
  readonly routes: readonly RouteReading[];
}

/** Collections of the old generation. */
export interface CollectedReading {
  /** How many there have been. The event loop tells of them, so that one in a block is known when that is over. */
  readonly times: number;
  /** What was in use after the last one. */
  readonly leftBytes: number;
}

/** What the process says of itself at any moment. */
export interface Vitals {
  /** The event loop's time, since it began: in callbacks, and waiting for something to do. */
  readonly loop: { readonly activeMs: number; readonly idleMs: number };
  readonly rssBytes: number;
  /** The old generation of V8's heap, which is what runs full. */
  readonly heapUsedBytes: number;
  readonly collected: CollectedReading;
}

export interface Readings extends Vitals {
  /** Those that were noticed since the last readings, and one that still lasts. */
  readonly stalls: readonly StallReading[];
  /** What the process may use: its cgroup's limit, else the machine's memory. */
  readonly memoryLimitBytes: number;
  /** Size of the old generation at which V8 gives up. */
  readonly heapLimitBytes: number;
  readonly requests: readonly RequestsReading[];
  /** Signals that came since the last readings. */
  readonly signals: readonly string[];
}
