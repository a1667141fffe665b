/**
 * Latencies of one series: exact counts in OpenTelemetry's buckets, and percentiles that are within 1.6 % of the truth.
 */

/**
 * OpenTelemetry's boundaries for `http.server.request.duration`, in milliseconds.
 * @see https://opentelemetry.io/docs/specs/semconv/http/http-metrics/
 */
export const LATENCY_BOUNDARIES_MS: readonly number[] = [
  5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000,
];

/** Linear steps in each power of two of a microsecond. */
const STEPS = 32;

/** Up to 2^36 µs, 19 hours; a longer request counts as that long. */
const POWERS = 36;

const POWERS_OF_TWO = Array.from({ length: POWERS + 1 }, (_, power) => 2 ** power);

const NONE = new Uint32Array(0);

export interface LatencySummary {
  readonly count: number;
  readonly sumMs: number;
  readonly maxMs: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  /** Requests up to each of LATENCY_BOUNDARIES_MS, not cumulative; the last one is those beyond. */
  readonly buckets: readonly number[];
}

/** Where the sum and the maximum are among the numbers; the buckets come behind them. */
const SUM = 0;
const MAX = 1;
const BUCKETS = 2;

export class LatencyHistogram {
  #count = 0;
  /** In one place, and by themselves: a field for each would be an object for each, far from the others. */
  readonly #numbers = new Float64Array(BUCKETS + LATENCY_BOUNDARIES_MS.length + 1);
  /** By power of two; most series need only a few of them. */
  readonly #powers: (Uint32Array | undefined)[] = [];
  /** The power of the last request, and its steps: the next one mostly takes about as long. */
  #power = -1;
  #steps: Uint32Array = NONE;

  record(durationMs: number): void {
    this.#count += 1;
    const numbers = this.#numbers;
    numbers[SUM]! += durationMs;
    if (durationMs > (numbers[MAX] as number)) numbers[MAX] = durationMs;
    let bucket = 0;
    while (bucket < LATENCY_BOUNDARIES_MS.length && durationMs > (LATENCY_BOUNDARIES_MS[bucket] as number))
      bucket += 1;
    numbers[BUCKETS + bucket]! += 1;
    const micros = Math.max(1, durationMs * 1000);
    // The logarithm is for requests of more than half an hour.
    const power =
      micros < 2 ** 31 ? 31 - Math.clz32(micros) : Math.min(POWERS, Math.floor(Math.log2(micros)));
    if (power !== this.#power) {
      this.#power = power;
      this.#steps = this.#powers[power] ??= new Uint32Array(STEPS);
    }
    const step = Math.min(STEPS - 1, Math.floor((micros / (POWERS_OF_TWO[power] as number) - 1) * STEPS));
    this.#steps[step]! += 1;
  }

  summary(): LatencySummary {
    return {
      count: this.#count,
      sumMs: this.#numbers[SUM] as number,
      maxMs: this.#numbers[MAX] as number,
      p50Ms: this.#percentileMs(0.5),
      p90Ms: this.#percentileMs(0.9),
      p99Ms: this.#percentileMs(0.99),
      buckets: [...this.#numbers.subarray(BUCKETS)],
    };
  }

  /** The middle of the step that holds the request of that rank; never above the largest. */
  #percentileMs(share: number): number {
    if (this.#count === 0) return 0;
    const maxMs = this.#numbers[MAX] as number;
    const rank = Math.ceil(share * this.#count);
    let seen = 0;
    for (const [power, steps] of this.#powers.entries()) {
      if (!steps) continue;
      for (let step = 0; step < STEPS; step++) {
        seen += steps[step] as number;
        if (seen >= rank) return Math.min(maxMs, (2 ** power * (1 + (step + 0.5) / STEPS)) / 1000);
      }
    }
    return maxMs;
  }
}
