import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, fstatSync, openSync, readFileSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const STDERR = 2;

/** Whoever reads has that long to make room. */
const WRITE_WITHIN_MS = 1000;

const TRY_AGAIN_MS = 10;

/** Those that write at this moment. */
const writers = new Set<ChildProcess>();

/**
 * Writes a line straight to stderr, past the main thread, which may never get round to it. Rejects when it cannot be written: a
 * stderr that is full and that nobody reads must not block the sidecar, because the process could not end then.
 */
export async function writeToStderr(line: string): Promise<void> {
  const data = Buffer.from(`${line}\n`);
  if (neverWaits()) return write(STDERR, data);
  const reopened = openWithoutWaiting();
  if (reopened === undefined) return writeByAnother(data);
  try {
    await write(reopened, data);
  } finally {
    closeSync(reopened);
  }
}

/** Ends what is being written: nobody will be there to end it. */
export function giveUpWriting(): void {
  for (const writer of writers) writer.kill('SIGKILL');
}

/** Also true on Windows, which has no way not to wait. */
function neverWaits(): boolean {
  if (process.platform === 'win32' || fstatSync(STDERR).isFile()) return true;
  try {
    // As Node's own stream leaves a pipe or a socket.
    const [, flags = '0'] =
      /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${STDERR}`, 'utf8')) ?? [];
    return (parseInt(flags, 8) & constants.O_NONBLOCK) !== 0;
  } catch {
    return false;
  }
}

/**
 * The pipe or the terminal once more: how one file descriptor waits is nothing to the host's own. Undefined where that cannot be,
 * as with a socket.
 */
function openWithoutWaiting(): number | undefined {
  try {
    return openSync(
      `/proc/self/fd/${STDERR}`,
      constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY,
    );
  } catch {
    return undefined;
  }
}

async function write(file: number, data: Buffer): Promise<void> {
  const untilMs = performance.now() + WRITE_WITHIN_MS;
  for (let written = 0; written < data.length;) {
    try {
      written += writeSync(file, data, written);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || performance.now() > untilMs) throw error;
      await sleep(TRY_AGAIN_MS);
    }
  }
}

/** A process can be ended while it waits, a thread cannot. */
async function writeByAnother(data: Buffer): Promise<void> {
  const writer = spawn('cat', { stdio: ['pipe', STDERR, 'ignore'] });
  const killer = setTimeout(() => writer.kill('SIGKILL'), WRITE_WITHIN_MS);
  writers.add(writer);
  try {
    // What has become of it shows when it ends.
    writer.stdin?.on('error', () => {}).end(data);
    const [code] = (await once(writer, 'exit')) as [number | null];
    if (code !== 0) throw new Error('stderr took no line');
  } finally {
    clearTimeout(killer);
    writers.delete(writer);
  }
}
