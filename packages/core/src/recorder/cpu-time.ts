/**
 * How much CPU each look at the main thread stands for.
 *
 * A look carries the thread CPU used since the look before. Charging just that would be wrong for all that ends between two
 * looks: the rest of a turn of the event loop lands on the idle look after it, and so does the whole of a turn that no look
 * saw. So:
 *
 * - at work: the CPU measured. Blocked in a system call that is almost none, as it should be.
 * - `(program)` looks have no CPU of their own, the look after them covers both: it is split by time.
 * - idle after work: the rest of that turn, charged to the look that saw it.
 * - idle after idle: turns that no look saw. A turn shorter than the interval is seen with a chance in proportion to its
 *   length, so a look that sees one stands for a whole interval in expectation: it is topped up to that from what the idle
 *   looks carry. (On a busy core the sampling thread wakes late and sees fewer; hence up to {@link MAX_TOP_UP} times.)
 *
 * What is left is returned as `unsampledNanos`: unseen turns beyond that, and the sampler's own signals. Everything together
 * is the CPU the thread used, exactly.
 */
import { CPU_IN_NEXT } from './chunk.js';
import type { FrameKind } from './frames.js';

/** One look, in time order. */
export interface Look {
  readonly kind: FrameKind;
  /** Time since the look before. */
  readonly gapNanos: number;
  /** Thread CPU since the last look that had any, or {@link CPU_IN_NEXT}. */
  readonly cpuNanos: number;
}

export interface CpuTimes {
  /** Per look, in the order given; 0 for idle looks. */
  readonly nanos: Float64Array;
  readonly unsampledNanos: number;
}

const MAX_TOP_UP = 2;

/** Handling the sampling signal costs an idle thread this share of an interval at most. */
const SIGNAL_SHARE = 0.01;

/** A look that comes late (a stopped process, signals held back) stands for no more than this many intervals. */
const MAX_GAP_INTERVALS = 2;

export function cpuTimesOf(looks: readonly Look[], intervalNanos: number): CpuTimes {
  const gaps = Float64Array.from(looks, ({ gapNanos }) =>
    Math.min(gapNanos, MAX_GAP_INTERVALS * intervalNanos),
  );
  const nanos = new Float64Array(looks.length);
  let unseenNanos = 0;
  let unsampledNanos = 0;
  let start = 0;
  looks.forEach(({ kind, cpuNanos }, index) => {
    if (cpuNanos === CPU_IN_NEXT) return;
    const idle = kind === 'idle';
    const end = idle ? index : index + 1;
    const from = idle && start === end && isWork(looks[start - 1]) ? start - 1 : start;
    start = index + 1;
    if (from === end) {
      if (cpuNanos < SIGNAL_SHARE * intervalNanos) unsampledNanos += cpuNanos;
      else unseenNanos += cpuNanos;
      return;
    }
    const gap = gaps.subarray(from, end).reduce((sum, nanos) => sum + nanos, 0);
    const charged = idle ? Math.min(cpuNanos, gap) : cpuNanos;
    unseenNanos += cpuNanos - charged;
    for (let at = from; at < end; at++) {
      nanos[at]! += gap > 0 ? (charged * (gaps[at] as number)) / gap : charged / (end - from);
    }
  });
  const lacking = looks.map((look, index) =>
    isWork(look) && isIdle(looks[index - 1]) && isIdle(looks[index + 1])
      ? Math.max(0, (gaps[index] as number) - (nanos[index] as number))
      : 0,
  );
  const lackingTotal = lacking.reduce((sum, nanos) => sum + nanos, 0);
  const topUp = lackingTotal > 0 ? Math.min(MAX_TOP_UP, unseenNanos / lackingTotal) : 0;
  lacking.forEach((lack, index) => (nanos[index]! += lack * topUp));
  return { nanos, unsampledNanos: unsampledNanos + unseenNanos - lackingTotal * topUp };
}

function isIdle(look: Look | undefined): boolean {
  return look?.kind === 'idle';
}

function isWork(look: Look | undefined): boolean {
  return look !== undefined && look.kind !== 'idle';
}
