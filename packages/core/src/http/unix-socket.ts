/** Listening on a Unix domain socket that only this user may open. */
import { chmodSync, linkSync, lstatSync, mkdtempSync, rmSync, statSync, unlinkSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { dirname, join } from 'node:path';

/**
 * Makes `server` listen on `path`, with mode 0600 from the first moment on; a socket that a dead process has left there is
 * replaced, anything else is not. Gives a function that takes the socket's file away. Rejects with the system's error, EADDRINUSE
 * where a process answers.
 *
 * The mode of a socket can only be set once it is there, and the umask belongs to the whole process (and not to a worker). So it is
 * bound in a folder that nobody else may enter, and linked to its place when it is closed to others.
 */
export async function listenOnUnixSocket(server: Server, path: string): Promise<() => void> {
  const room = mkdtempSync(join(dirname(path), '.loopprof-'));
  try {
    const bound = join(room, 's');
    await listen(server, bound);
    chmodSync(bound, 0o600);
    const { ino } = statSync(bound);
    await linkUnlessTaken(bound, path);
    return () => removeIfOurs(path, ino);
  } catch (error) {
    server.close();
    throw error;
  } finally {
    rmSync(room, { recursive: true, force: true });
  }
}

async function linkUnlessTaken(bound: string, path: string): Promise<void> {
  try {
    linkSync(bound, path);
    return;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  if (!lstatSync(path).isSocket()) throw failure('EEXIST', `${path} is there and is not a socket`);
  if (await answers(path)) throw failure('EADDRINUSE', `another process listens on ${path}`);
  unlinkSync(path);
  linkSync(bound, path);
}

/** Whether somebody listens: a socket whose process is dead refuses. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const settle = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => settle(true));
    socket.once('error', (error: NodeJS.ErrnoException) =>
      settle(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    );
  });
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

function removeIfOurs(path: string, ino: number): void {
  try {
    if (statSync(path).ino === ino) unlinkSync(path);
  } catch {
    // Somebody else has taken it away.
  }
}

function failure(code: string, message: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${message}`), { code });
}
