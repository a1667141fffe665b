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

export class LatencyHistogram {
  #count = 0;
  #sumMs = 0;
  #maxMs = 0;
  readonly #buckets = new Uint32Array(LATENCY_BOUNDARIES_MS.length + 1);
  /** By power of two; most series need only a few of them. */
  readonly #powers: (Uint32Array | undefined)[] = [];

  record(durationMs: number): void {
    this.#count += 1;
    this.#sumMs += durationMs;
    if (durationMs > this.#maxMs) this.#maxMs = durationMs;
    let bucket = 0;
    while (bucket < LATENCY_BOUNDARIES_MS.length && durationMs > (LATENCY_BOUNDARIES_MS[bucket] as number))
      bucket += 1;
    this.#buckets[bucket]! += 1;
    const micros = Math.max(1, durationMs * 1000);
    // The logarithm is for requests of more than half an hour.
    const power =
      micros < 2 ** 31 ? 31 - Math.clz32(micros) : Math.min(POWERS, Math.floor(Math.log2(micros)));
    const step = Math.min(STEPS - 1, Math.floor((micros / (POWERS_OF_TWO[power] as number) - 1) * STEPS));
    const steps = (this.#powers[power] ??= new Uint32Array(STEPS));
    steps[step]! += 1;
  }

  summary(): LatencySummary {
    return {
      count: this.#count,
      sumMs: this.#sumMs,
      maxMs: this.#maxMs,
      p50Ms: this.#percentileMs(0.5),
      p90Ms: this.#percentileMs(0.9),
      p99Ms: this.#percentileMs(0.99),
      buckets: [...this.#buckets],
    };
  }

  /** The middle of the step that holds the request of that rank; never above the largest. */
  #percentileMs(share: number): number {
    if (this.#count === 0) return 0;
    const rank = Math.ceil(share * this.#count);
    let seen = 0;
    for (const [power, steps] of this.#powers.entries()) {
      if (!steps) continue;
      for (let step = 0; step < STEPS; step++) {
        seen += steps[step] as number;
        if (seen >= rank) return Math.min(this.#maxMs, (2 ** power * (1 + (step + 0.5) / STEPS)) / 1000);
      }
    }
    return this.#maxMs;
  }
}
