/** How many stretches are kept: requests that began before the oldest are settled by the running total. */
const CAPACITY = 8192;

/** So many of the last ones are looked at one by one. */
const NEAR = 8;

/** Stretches of time in the order they ended, and how much of a later range they cover. Times are `performance.now()`. */
export class Intervals {
  readonly #starts = new Float64Array(CAPACITY);
  readonly #ends = new Float64Array(CAPACITY);
  /** Sum of all stretches up to and including this one. */
  readonly #totals = new Float64Array(CAPACITY);
  #count = 0;
  #totalMs = 0;
  /** The last one that has begun before any time that `mayCover` was asked for. */
  #near = 0;

  /** Length of all stretches so far. */
  get totalMs(): number {
    return this.#totalMs;
  }

  add(startMs: number, endMs: number): void {
    const slot = this.#count % CAPACITY;
    const previousEnd = this.#count > 0 ? (this.#ends[(this.#count - 1) % CAPACITY] as number) : -Infinity;
    // Collections can nest; what is covered twice counts once.
    const start = Math.max(startMs, previousEnd);
    if (endMs <= start) return;
    this.#totalMs += endMs - start;
    this.#starts[slot] = start;
    this.#ends[slot] = endMs;
    this.#totals[slot] = this.#totalMs;
    this.#count += 1;
  }

  /**
   * Whether [fromMs, toMs) may be covered in part: a quick look before `coveredMs`, for ranges that are asked for in the order of
   * their ends.
   */
  mayCover(fromMs: number, toMs: number): boolean {
    let near = Math.max(this.#near, this.#count - CAPACITY);
    while (near + 1 < this.#count && (this.#starts[(near + 1) % CAPACITY] as number) < toMs) near += 1;
    this.#near = near;
    return this.#count > 0 && (this.#ends[near % CAPACITY] as number) > fromMs;
  }

  /** What of [fromMs, toMs) is covered; `totalAtFromMs` is what `totalMs` was then, for ranges that reach far back. */
  coveredMs(fromMs: number, toMs: number, totalAtFromMs: number): number {
    return Math.max(0, this.#totalUntil(toMs, this.#totalMs) - this.#totalUntil(fromMs, totalAtFromMs));
  }

  #totalUntil(timeMs: number, otherwise: number): number {
    const oldest = Math.max(0, this.#count - CAPACITY);
    if (this.#count === 0 || timeMs < (this.#starts[oldest % CAPACITY] as number))
      return oldest === 0 ? 0 : otherwise;
    let low = oldest;
    let high = this.#count - 1;
    // Nearly all ask for the last moments.
    for (let near = 0; near < NEAR && high > low; near++, high--) {
      if ((this.#starts[high % CAPACITY] as number) <= timeMs) low = high;
    }
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.#starts[middle % CAPACITY] as number) <= timeMs) low = middle;
      else high = middle - 1;
    }
    const slot = low % CAPACITY;
    return (this.#totals[slot] as number) - Math.max(0, (this.#ends[slot] as number) - timeMs);
  }
}
