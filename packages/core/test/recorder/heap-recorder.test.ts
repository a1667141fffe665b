import type { HeapCounting, HeapSampler, RawHeapNode } from '../../src/engine/engine.js';
import { HeapRecorder } from '../../src/recorder/heap-recorder.js';

const EMPTY = { children: [], allocations: [] } as unknown as RawHeapNode;

let undisturbedDepth = 0;
function undisturbed<T>(work: () => T): T {
  undisturbedDepth += 1;
  try {
    return work();
  } finally {
    undisturbedDepth -= 1;
  }
}

/** A sampler that counts how often it was asked whether it is shared. */
class CountedSampler implements HeapSampler {
  readonly countsBoth = true;
  shared = false;
  looks = 0;
  counting: HeapCounting | undefined;

  get exclusive(): boolean {
    this.looks += 1;
    return !this.shared;
  }

  start({ counting }: { counting: HeapCounting }): void {
    this.counting = counting;
  }

  read<T>(convert: (root: RawHeapNode) => T): T {
    return convert(EMPTY);
  }

  stop(): void {
    this.counting = undefined;
  }
}

describe('the heap recorder, where it counts all allocations', () => {
  const MINUTE_MS = 60_000;
  let sampler: CountedSampler;
  let recorder: HeapRecorder;

  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['performance'] });
    sampler = new CountedSampler();
    recorder = new HeapRecorder(sampler, {
      intervalBytes: 524_288,
      totals: true,
      windows: false,
      undisturbed,
    });
    recorder.start();
  });
  afterEach(() => {
    recorder.stop();
    jest.useRealTimers();
  });

  it('looks often at first for others who sample the heap, and then once a minute: it goes through all modules', () => {
    jest.advanceTimersByTime(MINUTE_MS);
    expect(sampler.looks).toBe(12);
    jest.advanceTimersByTime(60 * MINUTE_MS);
    expect(sampler.looks).toBe(12 + 60);
    expect(sampler.counting).toBe('both');
  });

  it('counts what is live alone soon after somebody else has come', () => {
    jest.advanceTimersByTime(10 * MINUTE_MS);
    sampler.shared = true;
    jest.advanceTimersByTime(MINUTE_MS);
    expect(sampler.counting).toBe('live');
    expect(recorder.read({ gc: false }).notes).toEqual([expect.stringMatching(/shared with another tool/)]);
  });
});

it('nobody is let in while there is no sampler for a moment: before, in and after a window', async () => {
  const depths: number[] = [];
  class WatchedSampler extends CountedSampler {
    override start(options: { counting: HeapCounting }): void {
      depths.push(undisturbedDepth);
      super.start(options);
    }

    override stop(): void {
      depths.push(undisturbedDepth);
      super.stop();
    }
  }
  const recorder = new HeapRecorder(new WatchedSampler(), {
    intervalBytes: 524_288,
    totals: false,
    windows: true,
    undisturbed,
  });
  recorder.start();
  depths.length = 0;
  await recorder.countAllocations(10);
  recorder.useSampler(new WatchedSampler());
  // Out of what is live, into the window, out of that, back to what is live, and over to another sampler.
  expect(depths).toEqual([1, 1, 1, 1, 1]);
  expect(undisturbedDepth).toBe(0);
  recorder.stop();
});
