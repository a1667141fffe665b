import { setImmediate as nextTurn } from 'node:timers/promises';

/** Awaited between two pieces of work; lets the event loop turn when the work has held it up for long enough. */
export type Breathe = () => Promise<void>;

const LONGEST_PIECE_MS = 3;

/**
 * A capture works in pieces, so that nobody waits long for it. It counts time, not pieces: in a busy loop every turn is somebody
 * else's handlers, and a capture that gave way more often than it must would not be done before its client gives up.
 */
export function createPacer(): Breathe {
  let pieceBeganMs = performance.now();
  return async () => {
    if (performance.now() - pieceBeganMs < LONGEST_PIECE_MS) return;
    await nextTurn(undefined, { ref: false });
    pieceBeganMs = performance.now();
  };
}
