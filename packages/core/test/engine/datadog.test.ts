/**
 * V8's sampling thread cannot be made to get stuck, so that somebody else says here that it is. What comes of it is the real addon's
 * doing, in the last test.
 */
import { DatadogCpuSampler } from '../../src/engine/datadog.js';
import type { RawCpuNode } from '../../src/engine/engine.js';

type Bindings = ConstructorParameters<typeof DatadogCpuSampler>[0];
type NativeProfiler = Bindings['TimeProfiler']['prototype'];

const { TimeProfiler: RealProfiler } = jest.requireActual<Bindings>(
  '@datadog/pprof/out/src/time-profiler-bindings',
);
const contextFrame = jest.requireActual<ConstructorParameters<typeof DatadogCpuSampler>[1]>(
  '@datadog/pprof/out/src/async-context-frame',
);

const EMPTY: RawCpuNode = {
  name: '(root)',
  scriptName: '',
  scriptId: 0,
  lineNumber: 0,
  columnNumber: 0,
  hitCount: 0,
  children: [],
};

/** Gives a sampler on bindings that answer one check after another with `levels`, and what is done to them. */
function samplerWith(levels: number[], { intervalMicros = 1 }: { intervalMicros?: number } = {}) {
  const calls: string[] = [];
  class TimeProfiler implements Pick<NativeProfiler, 'start' | 'stopAndCollect'> {
    start(): void {
      calls.push('start');
    }
    stopAndCollect<T>(restart: boolean, convert: (profile: { topDownRoot: RawCpuNode }) => T): T {
      if (!restart) calls.push('stop');
      return convert({ topDownRoot: EMPTY });
    }
    v8ProfilerStuckEventLoopDetected(): number {
      return levels.shift() ?? 0;
    }
  }
  const sampler = new DatadogCpuSampler({ TimeProfiler } as unknown as Bindings, contextFrame);
  sampler.start({ intervalMicros, labels: false, onRival: () => calls.push('rival') });
  return { sampler, calls };
}

function waitMs(durationMs: number): void {
  for (const endsAt = performance.now() + durationMs; performance.now() < endsAt;);
}

/** How often it had been restarted after each of so many harvests. */
function restartsAfter(levels: number[], options?: { intervalMicros: number }): number[] {
  const { sampler, calls } = samplerWith([...levels], options);
  const restarts = levels.map(() => {
    waitMs(1);
    sampler.harvest(() => undefined);
    return calls.filter((call) => call === 'stop').length;
  });
  // It was started once more each time, and that was nobody else.
  const rest = calls.slice(1).join(' ');
  expect(rest).toBe(Array(restarts.at(-1)).fill('stop start').join(' '));
  return restarts;
}

describe('a sampler that delivers nothing any more', () => {
  it('is restarted at once where that is certain', () => {
    expect(restartsAfter([0, 2, 0, 2])).toEqual([0, 1, 1, 2]);
  });

  it('is restarted when the suspicion has come up three times running', () => {
    expect(restartsAfter([1, 1, 0, 1, 1, 1, 1, 1, 1])).toEqual([0, 0, 0, 0, 0, 1, 1, 1, 2]);
  });

  it('is not judged by a window that is too short to hold a look', () => {
    expect(restartsAfter([2, 2, 2], { intervalMicros: 1_000_000 })).toEqual([0, 0, 0]);
  });
});

it('after a restart the addon samples on, with labels', () => {
  let levels = [0];
  class Suspected extends RealProfiler {
    override v8ProfilerStuckEventLoopDetected(): number {
      return levels.shift() ?? 0;
    }
  }
  const sampler = new DatadogCpuSampler({ TimeProfiler: Suspected }, contextFrame);
  sampler.start({ intervalMicros: 1000, labels: true, onRival: () => {} });
  try {
    const { labels } = sampler;
    labels?.retain();
    const labelled = (route: string): number => {
      labels?.run({ route }, () => waitMs(300));
      return sampler.harvest(({ root }) => countOf(root, route));
    };
    expect(labelled('/before')).toBeGreaterThan(0);
    levels = [2];
    labelled('/stuck');
    expect(levels).toEqual([]);
    expect(sampler.labels).toBe(labels);
    expect(labelled('/after')).toBeGreaterThan(0);
    labels?.release();
  } finally {
    sampler.stop();
  }
});

/** Looks that carry the label. */
function countOf({ contexts = [], children }: RawCpuNode, route: string): number {
  const own = contexts.filter(({ context }) => JSON.stringify(context ?? {}).includes(route)).length;
  return children.reduce((sum, child) => sum + countOf(child, route), own);
}
