import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';

const STDERR = 2;

/**
 * Writes a line straight to stderr, past the main thread, which may never get round to it. Throws when it cannot be written: a
 * full pipe that nobody reads must not block the sidecar, because the process could not end then.
 */
export function writeToStderr(line: string): void {
  const pipe = openWithoutBlocking();
  try {
    writeSync(pipe ?? STDERR, `${line}\n`);
  } finally {
    if (pipe !== undefined) closeSync(pipe);
  }
}

/** The pipe once more: how one file descriptor waits is nothing to the host's own. Undefined where that cannot be. */
function openWithoutBlocking(): number | undefined {
  try {
    if (!fstatSync(STDERR).isFIFO()) return undefined;
    return openSync(`/proc/self/fd/${STDERR}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
}
