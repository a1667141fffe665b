/**
 * What the main thread and the sidecar see of each other at any time, without a message: a few numbers in shared memory, each
 * written by one side. Times are whole milliseconds of the system's monotonic clock, which all threads share; they wrap around
 * after 49 days, so only differences mean something.
 */

const MAIN_BEAT = 0;
const MAIN_LABELS = 1;
const SIDECAR_TICK = 2;
const SIDECAR_LATE_BY = 3;
const SIDECAR_LATE_AT = 4;
const SIDECAR_STATE = 5;
const MAIN_ENTRIES = 6;
const RULES_HELD = 7;
const PAUSED_AT = 8;
const EVER_PAUSED = 9;
const EXITING = 10;
const FIELDS = 11;

/** What {@link SIDECAR_STATE} says. */
const NOT_UP = 0;
const UP = 1;
const PARKING = 2;
const PARKED = 3;

/** How often a parked sidecar looks whether the process exits. */
const PARKED_LOOK_MS = 200;

/** Distance of the sidecar's ticks. */
export const TICK_MS = 50;

export class Pulse {
  readonly memory: SharedArrayBuffer;
  readonly #fields: Int32Array;

  constructor(memory = new SharedArrayBuffer(FIELDS * Int32Array.BYTES_PER_ELEMENT)) {
    this.memory = memory;
    this.#fields = new Int32Array(memory);
  }

  /** The main thread's event loop has turned. */
  beat(): void {
    this.#fields[MAIN_BEAT] = nowMs();
  }

  /** The main thread has been entered while its event loop did not turn. */
  enter(): void {
    this.#fields[MAIN_ENTRIES]! += 1;
  }

  /** How often it has been entered so far. */
  get entries(): number {
    return this.#fields[MAIN_ENTRIES] as number;
  }

  /** The main thread works for the request with this label set from here on. */
  work(labelsId: number): void {
    this.#fields[MAIN_LABELS] = labelsId;
  }

  /** Which label set the main thread has entered last; 0 for none. */
  get labelsId(): number {
    return this.#fields[MAIN_LABELS] as number;
  }

  /** How long ago the main thread's event loop has turned. */
  get sinceBeatMs(): number {
    return this.#since(MAIN_BEAT);
  }

  /** A debugger has been found to have stopped the main thread. */
  pause(): void {
    this.#fields[PAUSED_AT] = nowMs();
    this.#fields[EVER_PAUSED] = 1;
  }

  /** Whether that was in the last `durationMs`. */
  pausedWithin(durationMs: number): boolean {
    const sinceMs = this.#since(PAUSED_AT);
    return this.#fields[EVER_PAUSED] === 1 && sinceMs >= 0 && sinceMs <= durationMs;
  }

  /** A sidecar is about to be started. */
  begin(): void {
    this.beat();
    this.tick(0);
    Atomics.store(this.#fields, SIDECAR_STATE, NOT_UP);
    Atomics.store(this.#fields, RULES_HELD, 0);
  }

  /** The sidecar takes messages from here on. */
  up(): void {
    // It may have taken long to start, and be asked to park before its first tick.
    this.tick(0);
    Atomics.compareExchange(this.#fields, SIDECAR_STATE, NOT_UP, UP);
  }

  /** There is no sidecar any more. */
  down(): void {
    Atomics.store(this.#fields, SIDECAR_STATE, NOT_UP);
  }

  /** The process exits: a sidecar that parks will be ended. */
  exiting(): void {
    Atomics.store(this.#fields, EXITING, 1);
  }

  /** Allows the sidecar to park. Gives whether it is up, and will soon. */
  letPark(): boolean {
    return Atomics.exchange(this.#fields, SIDECAR_STATE, PARKING) === UP;
  }

  /**
   * Lets the sidecar's thread wait until it is ended, or has to go on; not when it has to go on already. Gives false when the process
   * exits and neither has happened for a while.
   */
  park(): boolean {
    if (Atomics.compareExchange(this.#fields, SIDECAR_STATE, PARKING, PARKED) !== PARKING) return true;
    Atomics.notify(this.#fields, SIDECAR_STATE);
    while (Atomics.wait(this.#fields, SIDECAR_STATE, PARKED, PARKED_LOOK_MS) === 'timed-out')
      if (Atomics.load(this.#fields, EXITING) === 1) return false;
    return true;
  }

  /** Waits until the sidecar has parked. */
  waitUntilParked(timeoutMs: number): void {
    Atomics.wait(this.#fields, SIDECAR_STATE, PARKING, timeoutMs);
  }

  /** The sidecar goes on. */
  unpark(): void {
    // In this order: it may park in between. Where there is none, or none yet, there is nothing to go on.
    for (const resting of [PARKING, PARKED])
      Atomics.compareExchange(this.#fields, SIDECAR_STATE, resting, UP);
    Atomics.notify(this.#fields, SIDECAR_STATE);
  }

  /**
   * Looks at the rules of `triggers`, unless the other thread does at this moment. What it tells the other of within `work` is
   * there when that has its turn, so that no rule fires twice when the event loop returns.
   */
  aloneWithRules(work: () => void): void {
    if (Atomics.compareExchange(this.#fields, RULES_HELD, 0, 1) !== 0) return;
    try {
      work();
    } finally {
      Atomics.store(this.#fields, RULES_HELD, 0);
    }
  }

  /** The sidecar is alive; `lateByMs` is how much later than it meant to be. */
  tick(lateByMs: number): void {
    const now = nowMs();
    if (lateByMs > 0) {
      this.#fields[SIDECAR_LATE_BY] = lateByMs;
      this.#fields[SIDECAR_LATE_AT] = now;
    }
    this.#fields[SIDECAR_TICK] = now;
  }

  /** How long ago the sidecar was alive. */
  get sinceTickMs(): number {
    return this.#since(SIDECAR_TICK);
  }

  /** For how long the sidecar did not run either, in the last `durationMs`: nobody gave the process a CPU then. */
  sidecarStoppedMs(durationMs: number): number {
    // One that is not there does not tick either.
    if (Atomics.load(this.#fields, SIDECAR_STATE) === NOT_UP) return 0;
    const lateAgoMs = this.#since(SIDECAR_LATE_AT);
    const stopped = lateAgoMs >= 0 && lateAgoMs <= durationMs ? (this.#fields[SIDECAR_LATE_BY] as number) : 0;
    return Math.min(durationMs, Math.max(stopped, this.sinceTickMs - TICK_MS));
  }

  #since(field: number): number {
    return (nowMs() - (this.#fields[field] as number)) | 0;
  }
}

/** Milliseconds of the clock that all threads share. */
export function monotonicMs(): number {
  const [seconds, nanos] = process.hrtime();
  return seconds * 1000 + nanos / 1e6;
}

function nowMs(): number {
  return Math.floor(monotonicMs()) | 0;
}
