import { LoopprofError } from '../errors.js';

/** Captures at one time; every one holds its samples and its bytes. */
const MAX_RUNNING = 64;

/** In captures: one that costs little of the event loop is 1. */
const WORK = { capacity: 600, perSecond: 10 };

const OUTPUT_BYTES = { capacity: 256 * 1024 * 1024, perSecond: 4 * 1024 * 1024 };

/** An allowance that fills up again at a steady pace: a token bucket. */
class Allowance {
  readonly #capacity: number;
  readonly #perSecond: number;
  #left: number;
  #countedMs = performance.now();

  constructor({ capacity, perSecond }: { capacity: number; perSecond: number }) {
    this.#capacity = this.#left = capacity;
    this.#perSecond = perSecond;
  }

  /** Seconds until `amount` is there. */
  waitSeconds(amount: number): number {
    const now = performance.now();
    this.#left = Math.min(this.#capacity, this.#left + ((now - this.#countedMs) / 1000) * this.#perSecond);
    this.#countedMs = now;
    return Math.max(0, amount - this.#left) / this.#perSecond;
  }

  /** May go below zero: what comes next waits for it. */
  take(amount: number): void {
    this.#left -= amount;
  }
}

/**
 * CaptureBudget bounds what all captures together cost the process: 64 at once, 600 and then 10 more every second, 256 MiB and
 * then 4 MiB more every second. That is far above what scrapers ask for, and stops what only a loop gone wild would.
 */
export class CaptureBudget {
  readonly #work = new Allowance(WORK);
  readonly #outputBytes = new Allowance(OUTPUT_BYTES);
  #running = 0;

  /**
   * Takes the cost of one capture; give back what is returned, with the size of its answer, when it is done. Throws
   * LOOPPROF_TOO_MANY, which says when to come again.
   */
  begin(cost: number): (sizeBytes: number) => void {
    if (this.#running >= MAX_RUNNING) throw tooMany(`${MAX_RUNNING} captures run already`, 1);
    const waitSeconds = Math.max(this.#work.waitSeconds(cost), this.#outputBytes.waitSeconds(1));
    if (waitSeconds > 0)
      throw tooMany('captures cost more than their budget for the time being', Math.ceil(waitSeconds));
    this.#work.take(cost);
    this.#running += 1;
    return (sizeBytes) => {
      this.#running -= 1;
      this.#outputBytes.take(sizeBytes);
    };
  }
}

function tooMany(what: string, retryAfterSeconds: number): LoopprofError {
  return new LoopprofError('LOOPPROF_TOO_MANY', `${what}: try again in ${retryAfterSeconds} s.`, {
    retryAfterSeconds,
  });
}
