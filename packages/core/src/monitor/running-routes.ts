/** Which route held the thread during a stretch of time. */

/** A look at the thread, as far as routes are concerned. Times are `performance.now()`. */
export interface RouteLook {
  readonly timeMs: number;
  /** Undefined where the code that ran was labelled with none. */
  readonly owner: RouteOwner | undefined;
}

export interface RouteOwner {
  readonly method: string;
  readonly route: string | undefined;
}

interface Stretch {
  readonly startMs: number;
  readonly endMs: number;
  /** Called for each route that ran in it. */
  charge(owner: RouteOwner | undefined, durationMs: number): void;
  /** Called once, with the route that ran most. */
  conclude?(owner: RouteOwner | undefined): void;
  readonly durationMs: number;
}

/** Looks come every 10 ms: one that lies this close to a short stretch saw the turn it was in. */
const NEAR_MS = 12;

/** Stretches that wait for the looks of their time; more than this are charged without them. */
const MAX_WAITING = 10_000;

/** Collections are reported, and blocks noticed, after the harvest of their time may have been: its looks are kept this long. */
const KEPT_LOOKS_MS = 10_000;

/** How many of the last signs of work on a request are remembered. */
const MAX_EVENTS = 4096;

/**
 * RunningRoutes charges stretches of time to routes. Labelled looks at the thread tell who ran, but they arrive with the next
 * harvest, so stretches wait for it. Where looks carry no labels, the request that was begun last, or whose response was, before
 * the longest silence in the stretch is held to have caused it, unless the event loop has turned since.
 */
export class RunningRoutes {
  readonly #alwaysLabelled: () => boolean;
  #waiting: Stretch[] = [];
  #looks: RouteLook[] = [];
  /** The last signs of work on a request, in rings: there are several of them for each request. */
  readonly #eventTimes = new Float64Array(MAX_EVENTS);
  readonly #eventOwners = new Array<RouteOwner | undefined>(MAX_EVENTS).fill(undefined);
  #eventCount = 0;

  /** @param alwaysLabelled Whether a look without an owner has found code that belongs to no request. */
  constructor(alwaysLabelled: () => boolean) {
    this.#alwaysLabelled = alwaysLabelled;
  }

  /**
   * Notes that a request was worked on at this time; without an owner, that the event loop was at none of them. Gives the number
   * of this sign.
   */
  note(timeMs: number, owner?: RouteOwner): number {
    const slot = this.#eventCount % MAX_EVENTS;
    this.#eventTimes[slot] = timeMs;
    this.#eventOwners[slot] = owner;
    return this.#eventCount++;
  }

  /** Puts an owner that stays in place of a request that has ended and should not be kept for this. */
  replace(sign: number, owner: RouteOwner): void {
    if (sign >= 0 && sign >= this.#eventCount - MAX_EVENTS) this.#eventOwners[sign % MAX_EVENTS] = owner;
  }

  /** Whether stretches wait for the looks of their time. */
  get waiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Charges a stretch as soon as it is known who ran. */
  add(stretch: Stretch): void {
    this.#waiting.push(stretch);
    if (this.#waiting.length > MAX_WAITING) this.settle(Infinity);
  }

  /** Takes looks, which are in the order of time and follow those before. */
  take(looks: readonly RouteLook[]): void {
    const keptMs = (looks.at(-1)?.timeMs ?? -Infinity) - KEPT_LOOKS_MS;
    const since = this.#waiting.reduce(
      (earliest, { startMs }) => Math.min(earliest, startMs - NEAR_MS),
      keptMs,
    );
    this.#looks = [...this.#looks.filter(({ timeMs }) => timeMs >= since), ...looks];
  }

  /** Charges the stretches that ended before `untilMs`. */
  settle(untilMs: number): void {
    const labelled = this.#looks.some(({ owner }) => owner !== undefined);
    const still: Stretch[] = [];
    for (const stretch of this.#waiting) {
      if (stretch.endMs > untilMs) still.push(stretch);
      else this.#charge(stretch, labelled);
    }
    this.#waiting = still;
  }

  #charge(stretch: Stretch, labelled: boolean): void {
    const seen = labelled ? byLooks(this.#looks, stretch) : [];
    // Labels may be on for a while only: where looks have none, it is the events that know.
    const told = this.#alwaysLabelled() ? seen.length > 0 : seen.some(({ owner }) => owner !== undefined);
    const shares = told ? seen : [{ owner: this.#byEvents(stretch), share: 1 }];
    for (const { owner, share } of shares) stretch.charge(owner, stretch.durationMs * share);
    stretch.conclude?.(shares[0]?.owner);
  }

  #byEvents({ startMs, endMs }: Stretch): RouteOwner | undefined {
    let longestMs = -1;
    let owner: RouteOwner | undefined;
    let next = endMs;
    const oldest = Math.max(0, this.#eventCount - MAX_EVENTS);
    for (let index = this.#eventCount - 1; index >= oldest; index--) {
      const timeMs = this.#eventTimes[index % MAX_EVENTS] as number;
      if (timeMs > endMs) continue;
      const silenceMs = next - Math.max(timeMs, startMs);
      if (silenceMs > longestMs) {
        longestMs = silenceMs;
        owner = this.#eventOwners[index % MAX_EVENTS];
      }
      if (timeMs <= startMs) break;
      next = timeMs;
    }
    return owner;
  }
}

/** The owners of the looks in the stretch by their share, most first; of the nearest one where none lies in it. */
function byLooks(
  looks: readonly RouteLook[],
  { startMs, endMs }: Stretch,
): { owner: RouteOwner | undefined; share: number }[] {
  const counts = new Map<RouteOwner | undefined, number>();
  let total = 0;
  let nearest: RouteLook | undefined;
  let nearestMs = NEAR_MS;
  for (let index = Math.max(0, firstAfter(looks, startMs - NEAR_MS) - 1); index < looks.length; index++) {
    const look = looks[index] as RouteLook;
    if (look.timeMs > endMs + NEAR_MS) break;
    const awayMs = Math.max(0, startMs - look.timeMs, look.timeMs - endMs);
    if (awayMs === 0) {
      counts.set(look.owner, (counts.get(look.owner) ?? 0) + 1);
      total += 1;
    } else if (awayMs < nearestMs) [nearest, nearestMs] = [look, awayMs];
  }
  if (total === 0) return nearest ? [{ owner: nearest.owner, share: 1 }] : [];
  return [...counts].sort((a, b) => b[1] - a[1]).map(([owner, count]) => ({ owner, share: count / total }));
}

/** Index of the first item later than that. */
function firstAfter(items: readonly { timeMs: number }[], timeMs: number): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((items[middle] as { timeMs: number }).timeMs > timeMs) high = middle;
    else low = middle + 1;
  }
  return low;
}
