import type { LoopprofError } from './errors.js';
import type { RequestTiming } from './monitor/request-timing.js';
import type { Stall } from './recorder/stalls.js';
import type { Snapshot } from './snapshots/snapshot.js';

/** Events of a Profiler, with what its listeners are given. */
export interface ProfilerEvents {
  /** A request took `slowRequestMs` or longer. Emitted some 60 ms after its end, when all that is known of it is known. */
  slowRequest: [timing: RequestTiming];
  /**
   * A callback held the event loop for `stallThresholdMs` or longer. Emitted when it is over and its samples are there; the
   * diagnostics channel `loopprof:stall` has it too.
   */
  stall: [stall: Stall];
  /**
   * A snapshot has been written, by hand, by request or because a rule of `triggers` fired. One with `blocked` was written while the
   * event loop was blocked; it is told of when that returns.
   */
  snapshot: [snapshot: Snapshot];
  /** Something that nobody waits for has failed, such as a snapshot that a rule wanted. It is in the log too. */
  error: [error: LoopprofError];
  newListener: [event: string | symbol, listener: (...args: unknown[]) => void];
}
