import type { Intervals } from './intervals.js';
import type { RequestTiming, TrackedRequest } from './request-timing.js';
import type { RouteOwner } from './running-routes.js';
import type { Series } from './series.js';

const FIRST_CAPACITY = 1024;

/** Past that, the oldest are settled with what is known. */
const MAX_CAPACITY = 131_072;

/** Of each: when it began and ended, the two totals when it began, and when its head was written, or NaN. */
const NUMBERS = 5;

interface EndedRequestsOptions {
  /** When the loop was blocked. */
  readonly blocked: Intervals;
  /** When garbage was collected. */
  readonly collecting: Intervals;
  /** Told of those that somebody wants, when all is known of them. */
  readonly onSettled: (timing: RequestTiming) => void;
}

/**
 * Requests that have ended, until it is known for how long the loop was blocked and garbage was collected meanwhile. They are
 * kept as numbers: objects that outlive their request by some beats survive the collector's next runs, which costs more than
 * all else that is done for a request. Their latencies are counted many at a time: alone, each would find the code and the
 * histogram out of the processor's caches again.
 */
export class EndedRequests {
  readonly #options: EndedRequestsOptions;
  #capacity = FIRST_CAPACITY;
  #numbers = new Float64Array(FIRST_CAPACITY * NUMBERS);
  #series: (Series | undefined)[] = new Array<undefined>(FIRST_CAPACITY).fill(undefined);
  #wanted: TrackedRequest['timing'][] = new Array<undefined>(FIRST_CAPACITY).fill(undefined);
  #first = 0;
  /** The first one whose latency is not counted. */
  #uncounted = 0;
  #next = 0;

  constructor(options: EndedRequestsOptions) {
    this.#options = options;
  }

  /** How many have been added so far, which is the number of the next one. */
  get count(): number {
    return this.#next;
  }

  /** Adds a request; gives its number. */
  add(tracked: TrackedRequest, series: Series, endedAtMs: number): number {
    if (this.#next - this.#first === this.#capacity) this.#makeRoom();
    const slot = this.#next & (this.#capacity - 1);
    const at = slot * NUMBERS;
    this.#numbers[at] = tracked.startedAtMs;
    this.#numbers[at + 1] = endedAtMs;
    this.#numbers[at + 2] = tracked.blockedTotalAtStartMs;
    this.#numbers[at + 3] = tracked.gcTotalAtStartMs;
    this.#numbers[at + 4] = tracked.headersAtMs ?? NaN;
    this.#series[slot] = series;
    return this.#next++;
  }

  /** Somebody wants to see all of this request: it is told when it is settled, at once if it is already. */
  want(tracked: TrackedRequest, timing: NonNullable<TrackedRequest['timing']>): void {
    const { endedNumber, blockedTotalAtStartMs, gcTotalAtStartMs } = tracked;
    if (endedNumber >= this.#first) {
      this.#wanted[endedNumber & (this.#capacity - 1)] = timing;
      return;
    }
    const { blocked, collecting } = this.#options;
    const { startedAtMs, endedAtMs = startedAtMs } = tracked;
    timing.eventLoopBlockedMs = blocked.coveredMs(startedAtMs, endedAtMs, blockedTotalAtStartMs);
    timing.gcMs = collecting.coveredMs(startedAtMs, endedAtMs, gcTotalAtStartMs);
  }

  /** Counts the latencies of all that have ended. */
  countLatencies(): void {
    while (this.#uncounted < this.#next) {
      const slot = this.#uncounted++ & (this.#capacity - 1);
      const at = slot * NUMBERS;
      const startedAtMs = this.#numbers[at] as number;
      const headersAtMs = this.#numbers[at + 4] as number;
      const series = this.#series[slot] as Series;
      series.duration.record((this.#numbers[at + 1] as number) - startedAtMs);
      if (!Number.isNaN(headersAtMs)) series.timeToHeaders.record(headersAtMs - startedAtMs);
    }
  }

  /** Settles those with a lower number. */
  settle(before: number): void {
    this.countLatencies();
    const { blocked, collecting, onSettled } = this.#options;
    while (this.#first < before) {
      const slot = this.#first++ & (this.#capacity - 1);
      const at = slot * NUMBERS;
      const startedAtMs = this.#numbers[at] as number;
      const endedAtMs = this.#numbers[at + 1] as number;
      // Few were in flight while either happened.
      const blockedMs = blocked.mayCover(startedAtMs, endedAtMs)
        ? blocked.coveredMs(startedAtMs, endedAtMs, this.#numbers[at + 2] as number)
        : 0;
      const gcMs = collecting.mayCover(startedAtMs, endedAtMs)
        ? collecting.coveredMs(startedAtMs, endedAtMs, this.#numbers[at + 3] as number)
        : 0;
      const series = this.#series[slot] as Series;
      if (blockedMs > 0) series.eventLoopBlockedMs += blockedMs;
      if (gcMs > 0) series.gcMs += gcMs;
      const timing = this.#wanted[slot];
      if (!timing) continue;
      this.#wanted[slot] = undefined;
      timing.eventLoopBlockedMs = blockedMs;
      timing.gcMs = gcMs;
      onSettled(timing);
    }
  }

  /** Calls `visit` with those that are not settled yet. */
  forEach(visit: (startedAtMs: number, endedAtMs: number, owner: RouteOwner) => void): void {
    for (let number = this.#first; number < this.#next; number++) {
      const slot = number & (this.#capacity - 1);
      const at = slot * NUMBERS;
      const { route } = this.#series[slot] as Series;
      visit(this.#numbers[at] as number, this.#numbers[at + 1] as number, route);
    }
  }

  #makeRoom(): void {
    if (this.#capacity === MAX_CAPACITY) {
      this.settle(this.#first + MAX_CAPACITY / 2);
      return;
    }
    const [before, numbers, series, wanted] = [this.#capacity, this.#numbers, this.#series, this.#wanted];
    this.#capacity *= 2;
    this.#numbers = new Float64Array(this.#capacity * NUMBERS);
    this.#series = new Array<undefined>(this.#capacity).fill(undefined);
    this.#wanted = new Array<undefined>(this.#capacity).fill(undefined);
    for (let number = this.#first; number < this.#next; number++) {
      const from = number & (before - 1);
      const to = number & (this.#capacity - 1);
      this.#numbers.set(numbers.subarray(from * NUMBERS, (from + 1) * NUMBERS), to * NUMBERS);
      this.#series[to] = series[from];
      this.#wanted[to] = wanted[from];
    }
  }
}
