/**
 * The wall clock as told from the monotonic one. `Date.now()` leaves out what is below a millisecond, and a look at the thread a
 * millisecond off would seem to have seen the callback before.
 */
export class WallClock {
  #offsetMs = performance.timeOrigin;

  /** What `performance.now()` needs to be milliseconds since the epoch; follows a clock that is set. */
  get offsetMs(): number {
    const beforeMs = performance.now();
    const wallMs = Date.now();
    const afterMs = performance.now();
    this.#offsetMs = Math.min(Math.max(this.#offsetMs, wallMs - afterMs), wallMs + 1 - beforeMs);
    return this.#offsetMs;
  }
}
