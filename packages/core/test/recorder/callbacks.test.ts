import { callbacksOf, startAfterWait } from '../../src/recorder/callbacks.js';
import type { Chunk } from '../../src/recorder/chunk.js';
import { pseudoFrame, type Frame } from '../../src/recorder/frames.js';

const frame = (functionName: string, url: string): Frame => ({ ...pseudoFrame(functionName), url });

const FRAMES: Record<string, readonly Frame[]> = {
  first: [frame('processTimers', 'node:internal/timers'), frame('first', '/app.js')],
  second: [frame('processTimers', 'node:internal/timers'), frame('second', '/app.js')],
  resumed: [frame('later', '/app.js')],
  job: [frame('processTicksAndRejections', 'node:internal/process'), frame('later', '/app.js')],
  collector: [pseudoFrame('(garbage collector)')],
  waiting: [pseudoFrame('(idle)')],
};

/** A chunk of looks every 10 ms from 5 ms on: where the thread was, and the id of the callback. */
function chunkOf(looks: readonly (readonly [keyof typeof FRAMES, number])[]): Chunk {
  const parents = [0];
  const frames = [pseudoFrame('(root)')];
  const nodes = looks.map(([where]) =>
    (FRAMES[where] as readonly Frame[]).reduce((parent, each) => {
      parents.push(parent);
      return frames.push(each) - 1;
    }, 0),
  );
  return {
    fromMicros: 0,
    toMicros: 1e6,
    parents: Uint32Array.from(parents),
    frames,
    timesMicros: Float64Array.from(looks, (_, index) => index * 10_000 + 5000),
    nodes: Uint32Array.from(nodes),
    cpuNanos: new Float64Array(looks.length),
    cpuMeasured: true,
    asyncIds: Float64Array.from(looks, ([, id]) => id),
    jobsHaveIds: false,
    labels: undefined,
    otherThreadsCpuNanos: 0,
    lostCpuNanos: 0,
    sizeBytes: 0,
  };
}

/** Their ends in milliseconds, in a stretch from 0 to the end of the last look's interval. */
function endsOf(looks: readonly (readonly [keyof typeof FRAMES, number])[]): number[] {
  const stretch = { startedMicros: 0, endedMicros: looks.length * 10_000 };
  const callbacks = callbacksOf([chunkOf(looks)], stretch);
  expect(callbacks[0]?.fromMicros).toBe(0);
  callbacks.slice(1).forEach(({ fromMicros }, index) => expect(fromMicros).toBe(callbacks[index]?.toMicros));
  expect(callbacks.flatMap((callback) => callback.looks)).toHaveLength(looks.length);
  return callbacks.map(({ toMicros }) => toMicros / 1000);
}

it('tells callbacks apart by their ids; what has none belongs to the one before', () => {
  expect(
    endsOf([
      ['first', 7],
      ['collector', 0],
      ['first', 8],
      ['job', 0],
      ['second', 8],
      ['second', 9],
    ]),
  ).toEqual([20, 50, 60]);
});

it('without ids, by the function of the app that Node has called', () => {
  expect(
    endsOf([
      ['first', 0],
      ['collector', 0],
      ['first', 0],
      ['job', 0],
      ['resumed', 0],
      ['second', 0],
    ]),
  ).toEqual([50, 60]);
});

it('takes a stretch without looks for one', () => {
  const stretch = { startedMicros: 10_000, endedMicros: 80_000 };
  expect(callbacksOf([], stretch)).toEqual([{ fromMicros: 10_000, toMicros: 80_000, looks: [] }]);
});

it.each([
  ['begins where it seems to, when no look has found it waiting', ['first', 'first'], 2, 0],
  [
    'begins after a look that has found it waiting, and half of what is known of the wait',
    ['waiting', 'first'],
    2,
    6,
  ],
  ['begins after the last of several looks', ['waiting', 'waiting', 'first'], 2, 16],
  ['has begun when a look finds it at work', ['waiting', 'first'], 30, 10],
  ['does not begin later because it was idle later', ['first', 'waiting', 'first'], 2, 0],
  ['has waited no longer than for the next beat', ['waiting', 'waiting', 'waiting', 'waiting'], 2, 16],
] as const)('a stretch %s', (_what, looks, waitedMs, startMs) => {
  const chunk = chunkOf(looks.map((where) => [where, 7] as const));
  const stretch = { startedMicros: 0, endedMicros: looks.length * 10_000, waitedMs, workedMs: undefined };
  expect(startAfterWait([chunk], stretch) / 1000).toBe(startMs);
});

it.each([
  ['begins as long before its end as the thread has worked', 13, 7],
  ['begins after the last look that found it waiting, whatever was worked before', 18, 5],
  ['begins half the way where the thread has slept in it as well', 8, 6.5],
] as const)('a stretch %s', (_what, workedMs, startMs) => {
  const chunk = chunkOf([
    ['waiting', 7],
    ['first', 7],
  ]);
  const stretch = { startedMicros: 0, endedMicros: 20_000, waitedMs: 3, workedMs };
  expect(startAfterWait([chunk], stretch) / 1000).toBe(startMs);
});
