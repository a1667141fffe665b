/** When a rule's condition holds. Some need to remember what was read before. */
import {
  REQUESTS_OVER_MS,
  type ErrorsTrigger,
  type HeapGrowthTrigger,
  type HighLoadTrigger,
  type IntervalTrigger,
  type LatencyTrigger,
  type StallTrigger,
  type WatchedRule,
} from '../trigger-rules.js';
import type { Readings, RouteReading, Vitals } from './readings.js';

/** What was measured and what it was measured against, by name; units are in the names. */
export type TriggerValues = Readonly<Record<string, number | string | boolean>>;

/** Takes in the readings of a moment; gives the values while the condition holds. What is held back does not count as told. */
export type Condition = (readings: Readings, nowMs: number, isHeldBack: boolean) => TriggerValues | undefined;

export function conditionOf(rule: WatchedRule): Condition {
  switch (rule.on) {
    case 'stall':
      return stall(rule);
    case 'highLoad':
      return highLoad(rule);
    case 'rss':
      return ({ rssBytes, memoryLimitBytes }) =>
        shareAbove(rule.shareAbove, { rssBytes, memoryLimitBytes }, rssBytes / memoryLimitBytes);
    case 'heap':
      return ({ heapUsedBytes, heapLimitBytes }) =>
        shareAbove(rule.shareAbove, { heapUsedBytes, heapLimitBytes }, heapUsedBytes / heapLimitBytes);
    case 'heapGrowth':
      return heapGrowth(rule);
    case 'latency':
      return latency(rule);
    case 'errors':
      return errors(rule);
    case 'interval':
      return interval(rule);
    case 'signal':
      return ({ signals }) => (signals.includes(rule.signal) ? { signal: rule.signal } : undefined);
  }
}

function shareAbove(limit: number, parts: TriggerValues, share: number): TriggerValues | undefined {
  return share > limit ? { ...parts, share, shareAbove: limit } : undefined;
}

/** The longest of those that passed the limit. One that was told while it lasted is not told again, longer or ended. */
function stall({ longerThanMs }: StallTrigger): Condition {
  let toldUntilMs = -Infinity;
  return ({ stalls }, _nowMs, isHeldBack) => {
    const [longest] = stalls
      .filter(({ startedMs = Infinity }) => startedMs > toldUntilMs)
      .sort((a, b) => b.durationMs - a.durationMs);
    if (!longest || longest.durationMs <= longerThanMs) return undefined;
    const { startedMs, ...values } = longest;
    if (longest.ongoing && startedMs !== undefined && !isHeldBack)
      toldUntilMs = startedMs + longest.durationMs;
    return { ...values, longerThanMs };
  };
}

/** Above the limit between any two readings for long enough, without one below in between. */
function highLoad({ utilizationAbove, forMs = 10_000 }: HighLoadTrigger): Condition {
  let before: { activeMs: number; idleMs: number; atMs: number } | undefined;
  let since: { activeMs: number; idleMs: number; atMs: number } | undefined;
  return ({ loop }, atMs) => {
    const now = { ...loop, atMs };
    // Nothing is known yet of the time since.
    if (before && totalBetween(before, now) <= 0) return undefined;
    const utilization = before && utilizationBetween(before, now);
    if (utilization === undefined || utilization <= utilizationAbove) since = undefined;
    else since ??= before;
    before = now;
    if (!since || atMs - since.atMs < forMs) return undefined;
    return { utilization: utilizationBetween(since, now), utilizationAbove, forMs: atMs - since.atMs };
  };
}

type LoopReading = Vitals['loop'];

function totalBetween(from: LoopReading, to: LoopReading): number {
  return to.activeMs - from.activeMs + to.idleMs - from.idleMs;
}

function utilizationBetween(from: LoopReading, to: LoopReading): number {
  // Two threads measure it, the one that is blocked finer than the one that watches it.
  return Math.min(1, (to.activeMs - from.activeMs) / totalBetween(from, to));
}

/** A collection that nobody has told of, while the event loop is blocked, shows in that less is used than by this share. */
const COLLECTED_SHARE = 0.9;

/** In a twentieth of `overMs` the lowest counts. */
const FLOORS = 20;

/** What was left at some time. */
interface Floor {
  readonly bytes: number;
  readonly atMs: number;
}

/**
 * Compares what collections have left, because garbage may make up most of the heap before the next one, with its exponential moving
 * average (https://en.wikipedia.org/wiki/Exponential_smoothing). What no second one has confirmed may be a peak that the first came upon.
 */
function heapGrowth({
  timesAverageAbove,
  overMs = 600_000,
  minBytes = 32 * 1024 * 1024,
}: HeapGrowthTrigger): Condition {
  const stretchMs = overMs / FLOORS;
  const average = new MovingAverage(overMs / 2);
  let firstMs: number | undefined;
  let beganMs = 0;
  let usedBefore = 0;
  let seen = 0;
  let floorBytes = Infinity;
  let before: Floor | undefined;
  return ({ heapUsedBytes, collected }, nowMs) => {
    firstMs ??= beganMs = nowMs;
    if (collected.times > seen) {
      seen = collected.times;
      floorBytes = Math.min(floorBytes, collected.leftBytes);
    } else if (heapUsedBytes < usedBefore * COLLECTED_SHARE) {
      // When it is told of, it is not another one.
      seen += 1;
      floorBytes = Math.min(floorBytes, heapUsedBytes);
    }
    usedBefore = heapUsedBytes;
    if (nowMs - beganMs < stretchMs) return undefined;
    beganMs = nowMs;
    if (floorBytes === Infinity) return undefined;
    const floor = { bytes: floorBytes, atMs: nowMs };
    const confirmed = before && before.bytes < floor.bytes ? before : floor;
    before = floor;
    floorBytes = Infinity;
    const averageBytes = average.add(confirmed, stretchMs);
    const isGrowth =
      confirmed.bytes > averageBytes * timesAverageAbove && confirmed.bytes - averageBytes >= minBytes;
    if (!isGrowth || nowMs - firstMs <= overMs) return undefined;
    return { heapUsedBytes: confirmed.bytes, averageBytes: Math.round(averageBytes), timesAverageAbove };
  };
}

/** Of a value that is known now and then, and goes straight from one time to the next. */
class MovingAverage {
  readonly #timeConstantMs: number;
  #last: (Floor & { readonly averageBytes: number }) | undefined;

  constructor(timeConstantMs: number) {
    this.#timeConstantMs = timeConstantMs;
  }

  /** Gives the average as it was so long before. */
  add(floor: Floor, beforeMs: number): number {
    const last = this.#last;
    if (!last || floor.atMs > last.atMs)
      this.#last = { ...floor, averageBytes: last ? this.#between(last, floor, floor.atMs) : floor.bytes };
    return last ? this.#between(last, floor, Math.max(last.atMs, floor.atMs - beforeMs)) : floor.bytes;
  }

  #between(from: Floor & { readonly averageBytes: number }, to: Floor, atMs: number): number {
    const bytesPerMs = (to.bytes - from.bytes) / Math.max(1, to.atMs - from.atMs);
    const elapsedMs = atMs - from.atMs;
    // What the average comes to lag behind by.
    const lag = bytesPerMs * this.#timeConstantMs;
    const decay = Math.exp(-elapsedMs / this.#timeConstantMs);
    const bytes = from.bytes + bytesPerMs * elapsedMs;
    return bytes - lag + (from.averageBytes - from.bytes + lag) * decay;
  }
}

function latency(rule: LatencyTrigger): Condition {
  return worstRoute(rule, rule.p99AboveMs, {
    measure: ({ p99Ms }) => p99Ms,
    values: ({ p99Ms }) => ({ p99Ms, p99AboveMs: rule.p99AboveMs }),
  });
}

function errors(rule: ErrorsTrigger): Condition {
  return worstRoute(rule, rule.shareAbove, {
    measure: ({ errors, count }) => errors / count,
    values: ({ errors, count }) => ({ errors, share: errors / count, shareAbove: rule.shareAbove }),
  });
}

/** Of the routes that the rule looks at and that had enough requests, the one furthest above the limit. */
function worstRoute(
  { route, method, overMs = REQUESTS_OVER_MS, minRequests = 50 }: LatencyTrigger | ErrorsTrigger,
  limit: number,
  {
    measure,
    values,
  }: { measure: (reading: RouteReading) => number; values: (reading: RouteReading) => TriggerValues },
): Condition {
  const isBad = (reading: RouteReading): boolean =>
    reading.count >= minRequests &&
    (route === undefined || reading.route === route) &&
    (method === undefined || reading.method === method) &&
    measure(reading) > limit;
  return ({ requests }) => {
    const ended = requests.find((each) => each.overMs === overMs);
    const [worst] = (ended?.routes.filter(isBad) ?? []).sort((a, b) => measure(b) - measure(a));
    return (
      worst && {
        method: worst.method,
        route: worst.route,
        requests: worst.count,
        overMs,
        ...values(worst),
      }
    );
  };
}

function interval({ everyMs }: IntervalTrigger): Condition {
  let dueMs: number | undefined;
  return (_readings, nowMs) => {
    dueMs ??= nowMs + everyMs;
    if (nowMs < dueMs) return undefined;
    // After a blocked loop, once and not as often as it was due.
    dueMs = nowMs + everyMs;
    return { everyMs };
  };
}
