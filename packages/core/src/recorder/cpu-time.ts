/**
 * How much CPU each look at the main thread stands for.
 *
 * A look carries the thread CPU used since the look before. Charging just that would be wrong for short turns of the loop:
 * the CPU of a turn that ran between two looks at an idle thread lands on an idle look, and a look that catches a short turn
 * carries only the part of it that had passed. Looks come at a steady pace, so in expectation a look that finds the thread at
 * work right after an idle one stands for a whole interval, and what it lacks is what the idle looks carry. So:
 *
 * - at work after work: the CPU measured (blocked in a system call it is almost none, as it should be);
 * - at work after idle: the CPU measured, plus a share of the idle looks' CPU in proportion to what it lacks of an interval;
 * - `(program)` looks have no CPU of their own, the look after them covers both: it is split by time.
 *
 * The sum over all looks is the CPU the thread used, exactly. What the idle looks carry beyond what is lacking is returned as
 * `unsampledNanos`: turns too short to be seen, and the sampler's own signals.
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

export function cpuTimesOf(looks: readonly Look[], intervalNanos: number): CpuTimes {
  const nanos = new Float64Array(looks.length);
  const lacking = new Float64Array(looks.length);
  let idleCpu = 0;
  let lackingTotal = 0;
  let idleBefore = true;
  let segmentStart = 0;
  for (let index = 0; index < looks.length; index++) {
    const look = looks[index] as Look;
    const last = index === looks.length - 1;
    if (look.cpuNanos === CPU_IN_NEXT && !last) continue;
    const cpu = Math.max(0, look.cpuNanos);
    const workEnd = look.kind === 'idle' ? index : index + 1;
    let workGap = 0;
    for (let at = segmentStart; at < workEnd; at++) workGap += gapOf(looks[at] as Look, intervalNanos);
    const workCpu = look.kind === 'idle' ? Math.min(cpu, workGap) : cpu;
    idleCpu += cpu - workCpu;
    for (let at = segmentStart; at < workEnd; at++) {
      const gap = gapOf(looks[at] as Look, intervalNanos);
      nanos[at] = workGap > 0 ? (workCpu * gap) / workGap : workCpu / (workEnd - segmentStart);
      if (at === segmentStart && idleBefore) {
        lacking[at] = Math.max(0, gap - (nanos[at] as number));
        lackingTotal += lacking[at] as number;
      }
    }
    idleBefore = look.kind === 'idle';
    segmentStart = index + 1;
  }
  const share = lackingTotal > 0 ? Math.min(1, idleCpu / lackingTotal) : 0;
  for (let index = 0; index < looks.length; index++) nanos[index]! += (lacking[index] as number) * share;
  return { nanos, unsampledNanos: idleCpu - lackingTotal * share };
}

/** A look that comes late (a stopped process, signals held back) stands for no more than two intervals. */
function gapOf({ gapNanos }: Look, intervalNanos: number): number {
  return Math.min(gapNanos, 2 * intervalNanos);
}
