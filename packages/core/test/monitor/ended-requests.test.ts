import { EndedRequests } from '../../src/monitor/ended-requests.js';
import { Intervals } from '../../src/monitor/intervals.js';
import type { RequestTiming, TrackedRequest } from '../../src/monitor/request-timing.js';
import { SeriesTable } from '../../src/monitor/series.js';

const blocked = new Intervals();
const collecting = new Intervals();
const settled: RequestTiming[] = [];
let ended: EndedRequests;
let table: SeriesTable;

beforeEach(() => {
  table = new SeriesTable(10);
  settled.length = 0;
  ended = new EndedRequests({ blocked, collecting, onSettled: (timing) => settled.push(timing) });
});

/** As the monitor has it when the response is over. */
function request(startedAtMs: number, endedAtMs: number, headersAtMs?: number): TrackedRequest {
  const timing = { method: 'GET', route: '/a', startedAtMs, endedAtMs, headersAtMs };
  return {
    ...timing,
    timing: { ...timing, statusCode: 200, aborted: false, eventLoopBlockedMs: undefined, gcMs: undefined },
    blockedTotalAtStartMs: blocked.totalMs,
    gcTotalAtStartMs: collecting.totalMs,
    endedNumber: -1,
  } as TrackedRequest;
}

type Settled = NonNullable<TrackedRequest['timing']>;

function want(tracked: TrackedRequest): void {
  ended.want(tracked, tracked.timing as Settled);
}

function end(tracked: TrackedRequest): TrackedRequest {
  const series = table.find('GET', '/a', 200);
  tracked.endedNumber = ended.add(tracked, series, tracked.endedAtMs as number);
  return tracked;
}

/** Counts and sums of the latencies that have been counted. */
function latencies(): { durations: number[]; timesToHeaders: number[] } {
  const { duration, timeToHeaders } = table.find('GET', '/a', 200);
  const [durations, timesToHeaders] = [duration, timeToHeaders].map((histogram) => {
    const { count, sumMs } = histogram.summary();
    return [count, sumMs];
  }) as [number[], number[]];
  return { durations, timesToHeaders };
}

describe('EndedRequests', () => {
  it('tells what has covered a request, to its series and to who wants it', () => {
    const wanted = request(1000, 1100);
    const other = request(1050, 1150);
    blocked.add(1020, 1070);
    collecting.add(1060, 1065);
    end(wanted);
    end(other);
    want(wanted);
    ended.settle(ended.count);
    expect(settled).toEqual([wanted.timing]);
    expect(wanted.timing).toMatchObject({ eventLoopBlockedMs: 50, gcMs: 5 });
    expect(other.timing).toMatchObject({ eventLoopBlockedMs: undefined, gcMs: undefined });
    expect(table.find('GET', '/a', 200)).toMatchObject({ eventLoopBlockedMs: 50 + 20, gcMs: 5 + 5 });
  });

  it('settles those before a number, each once, in their order', () => {
    const requests = Array.from({ length: 10 }, (_, n) => end(request(2000 + n, 2010 + n)));
    requests.forEach((tracked) => want(tracked));
    ended.settle(4);
    ended.settle(4);
    expect(settled).toEqual(requests.slice(0, 4).map(({ timing }) => timing));
    ended.settle(ended.count);
    expect(settled).toEqual(requests.map(({ timing }) => timing));
  });

  it('tells at once who comes when all is known', () => {
    const late = request(3000, 3100);
    blocked.add(3010, 3050);
    collecting.add(3020, 3022);
    end(late);
    ended.settle(ended.count);
    expect(settled).toEqual([]);
    want(late);
    expect(late.timing).toMatchObject({ eventLoopBlockedMs: 40, gcMs: 2 });
  });

  it('keeps as many as come within a beat, whatever was settled before', () => {
    for (let n = 0; n < 700; n++) end(request(4000, 4001));
    ended.settle(500);
    const requests = Array.from({ length: 5000 }, (_, n) => end(request(5000 + n, 5001 + n)));
    want(requests[17] as TrackedRequest);
    want(requests[4999] as TrackedRequest);
    const seen: number[] = [];
    ended.forEach((startedAtMs, endedAtMs, owner) => {
      expect(owner).toMatchObject({ method: 'GET', route: '/a' });
      expect(endedAtMs).toBe(startedAtMs + 1);
      seen.push(startedAtMs);
    });
    expect(seen).toEqual([
      ...Array<number>(200).fill(4000),
      ...requests.map(({ startedAtMs }) => startedAtMs),
    ]);
    ended.settle(ended.count);
    expect(settled.map(({ startedAtMs }) => startedAtMs)).toEqual([5017, 9999]);
    ended.forEach(() => expect('nothing').toBe('left'));
  });

  it('is bounded: past that the oldest are settled with what is known', () => {
    const first = end(request(20_000, 20_001));
    want(first);
    for (let n = 0; n < 200_000; n++) end(request(20_000, 20_001));
    expect(settled).toEqual([first.timing]);
    let left = 0;
    ended.forEach(() => (left += 1));
    expect(left).toBeLessThanOrEqual(131_072);
    ended.settle(ended.count);
  });

  it('counts the latency of each once, whoever asks for it first', () => {
    for (let n = 0; n < 30; n++) end(request(30_000, 30_007, n % 3 === 0 ? undefined : 30_002));
    ended.countLatencies();
    ended.countLatencies();
    expect(latencies()).toEqual({ durations: [30, 210], timesToHeaders: [20, 40] });
    for (let n = 0; n < 5000; n++) end(request(31_000, 31_001, 31_001));
    ended.settle(ended.count - 4000);
    expect(latencies()).toEqual({ durations: [5030, 5210], timesToHeaders: [5020, 5040] });
    for (let n = 0; n < 3000; n++) end(request(32_000, 32_001, 32_001));
    ended.settle(ended.count);
    ended.countLatencies();
    expect(latencies()).toEqual({ durations: [8030, 8210], timesToHeaders: [8020, 8040] });
  });

  it('counts each for its own series, through growth too', () => {
    const other = table.find('POST', '/b', 500);
    for (let n = 0; n < 700; n++) end(request(33_000, 33_001));
    ended.settle(ended.count);
    for (let n = 0; n < 3000; n++) {
      const tracked = request(34_000 + n, 34_000 + n + (n % 2 === 0 ? 3 : 8));
      if (n % 2 === 0) end(tracked);
      else ended.add(tracked, other, tracked.endedAtMs as number);
    }
    ended.countLatencies();
    expect(latencies().durations).toEqual([700 + 1500, 700 + 1500 * 3]);
    expect(other.duration.summary()).toMatchObject({ count: 1500, sumMs: 1500 * 8, maxMs: 8 });
  });

  it('loses no latency where the oldest are settled before their time', () => {
    for (let n = 0; n < 200_000; n++) end(request(40_000, 40_001));
    ended.countLatencies();
    expect(latencies().durations).toEqual([200_000, 200_000]);
  });
});
