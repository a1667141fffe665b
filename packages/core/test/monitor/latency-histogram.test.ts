import { LATENCY_BOUNDARIES_MS, LatencyHistogram } from '../../src/monitor/latency-histogram.js';

function histogramOf(durations: readonly number[]): LatencyHistogram {
  const histogram = new LatencyHistogram();
  for (const duration of durations) histogram.record(duration);
  return histogram;
}

describe('LatencyHistogram', () => {
  it('gives percentiles within 1.6 % of the sorted values, from microseconds to hours', () => {
    const durations = Array.from({ length: 20_000 }, (_, n) => 0.002 * 1.0011 ** n);
    const { p50Ms, p90Ms, p99Ms, maxMs } = histogramOf(durations).summary();
    for (const [share, measured] of [
      [0.5, p50Ms],
      [0.9, p90Ms],
      [0.99, p99Ms],
    ] as const) {
      const truth = durations[Math.ceil(share * durations.length) - 1] as number;
      expect(Math.abs(measured / truth - 1)).toBeLessThan(0.016);
    }
    expect(maxMs).toBe(durations.at(-1));
  });

  it('counts into the buckets of OpenTelemetry, a bound belonging to the bucket below it', () => {
    const { buckets, count, sumMs } = histogramOf([0, 5, 5.001, 10, 9_999, 10_001]).summary();
    expect(LATENCY_BOUNDARIES_MS).toHaveLength(14);
    expect(buckets).toEqual([2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    expect(count).toBe(6);
    expect(sumMs).toBeCloseTo(20_020.001);
  });

  it('never shows a percentile above the largest value, nor any of nothing', () => {
    const one = histogramOf([7.77]).summary();
    expect([one.p50Ms, one.p99Ms, one.maxMs]).toEqual([one.p50Ms, one.p50Ms, 7.77]);
    expect(one.p50Ms).toBeLessThanOrEqual(7.77);
    expect(histogramOf([]).summary()).toMatchObject({ count: 0, p50Ms: 0, p99Ms: 0, maxMs: 0 });
  });

  it('takes what is too short or too long for its scale as the shortest or longest it has', () => {
    const { count, maxMs, p99Ms } = histogramOf([0, -1, 1e12]).summary();
    expect(count).toBe(3);
    expect(maxMs).toBe(1e12);
    expect(p99Ms).toBeLessThanOrEqual(1e12);
  });
});
