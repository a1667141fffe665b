import { LoopprofError } from '../errors.js';

/** Captures at one time; every one holds its samples and its bytes. */
const MAX_RUNNING = 64;

/** In captures: one that costs little of the event loop is 1. */
const WORK = { capacity: 600, perSecond: 10 };

const OUTPUT_BYTES = { capacity: 256 * 1024 * 1024, perSecond: 4 * 1024 * 1024 };

/** Two allowances, and how many captures run on either side. */
const MEMORY_BYTES = 2 * BigInt64Array.BYTES_PER_ELEMENT + 2 * Int32Array.BYTES_PER_ELEMENT;

/** An allowance that fills up again at a steady pace: a token bucket. What it holds is the moment at which it is full again. */
class Allowance {
  readonly #fullAtNanos: BigInt64Array;
  readonly #perSecond: number;
  readonly #capacityNanos: bigint;

  constructor(fullAtNanos: BigInt64Array, { capacity, perSecond }: { capacity: number; perSecond: number }) {
    this.#fullAtNanos = fullAtNanos;
    this.#perSecond = perSecond;
    this.#capacityNanos = this.#nanosFor(capacity);
  }

  /** Seconds until `amount` is there. */
  waitSeconds(amount: number): number {
    const now = nowNanos();
    const owed = later(Atomics.load(this.#fullAtNanos, 0), now) - now;
    const missing = owed + this.#nanosFor(amount) - this.#capacityNanos;
    return Math.max(0, Number(missing)) / 1e9;
  }

  /** May go below zero: what comes next waits for it. */
  take(amount: number): void {
    for (;;) {
      const before = Atomics.load(this.#fullAtNanos, 0);
      const after = later(before, nowNanos()) + this.#nanosFor(amount);
      if (Atomics.compareExchange(this.#fullAtNanos, 0, before, after) === before) return;
    }
  }

  #nanosFor(amount: number): bigint {
    return BigInt(Math.round((amount / this.#perSecond) * 1e9));
  }
}

function later(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

/** Of the clock that all threads share. */
function nowNanos(): bigint {
  return process.hrtime.bigint();
}

/**
 * CaptureBudget bounds what all captures together cost a thread of the app and its sidecar, which serves them on the standalone
 * server: 64 at once, 600 and then 10 more every second, 256 MiB and then 4 MiB more every second. That is far above what scrapers
 * ask for, and stops what only a loop gone wild would.
 */
export class CaptureBudget {
  /** What the sidecar's own is made with. */
  readonly memory: SharedArrayBuffer;
  readonly #work: Allowance;
  readonly #outputBytes: Allowance;
  readonly #running: Int32Array;
  readonly #side: 0 | 1;

  /** In the sidecar with the memory of the thread that it belongs to; whatever one before it had running has ended with it. */
  constructor(shared?: SharedArrayBuffer) {
    this.memory = shared ?? new SharedArrayBuffer(MEMORY_BYTES);
    this.#work = new Allowance(new BigInt64Array(this.memory, 0, 1), WORK);
    this.#outputBytes = new Allowance(new BigInt64Array(this.memory, 8, 1), OUTPUT_BYTES);
    this.#running = new Int32Array(this.memory, 16, 2);
    this.#side = shared ? 1 : 0;
    Atomics.store(this.#running, this.#side, 0);
  }

  /**
   * Takes the cost of one capture; give back what is returned, with the size of its answer, when it is done. Throws
   * LOOPPROF_TOO_MANY, which says when to come again.
   */
  begin(cost: number): (sizeBytes: number) => void {
    const running = Atomics.load(this.#running, 0) + Atomics.load(this.#running, 1);
    if (running >= MAX_RUNNING) throw tooMany(`${MAX_RUNNING} captures run already`, 1);
    const waitSeconds = Math.max(this.#work.waitSeconds(cost), this.#outputBytes.waitSeconds(1));
    if (waitSeconds > 0)
      throw tooMany('captures cost more than their budget for the time being', Math.ceil(waitSeconds));
    this.#work.take(cost);
    Atomics.add(this.#running, this.#side, 1);
    return (sizeBytes) => {
      Atomics.sub(this.#running, this.#side, 1);
      this.#outputBytes.take(sizeBytes);
    };
  }
}

function tooMany(what: string, retryAfterSeconds: number): LoopprofError {
  return new LoopprofError('LOOPPROF_TOO_MANY', `${what}: try again in ${retryAfterSeconds} s.`, {
    retryAfterSeconds,
  });
}
