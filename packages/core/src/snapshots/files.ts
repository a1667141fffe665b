/** Files that are whole or not there, whatever happens while they are written. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** A file of a snapshot. */
export interface FileContent {
  readonly name: string;
  readonly data: Uint8Array | string;
}

/** How the names of unfinished files and directories begin; whoever reads a profile directory leaves them alone. */
export const UNFINISHED = '.unfinished-';

export function unfinishedName(directory: string): string {
  return join(directory, `${UNFINISHED}${randomBytes(8).toString('hex')}`);
}

/** Never opens what is there already, a symbolic link least of all. Windows has no O_NOFOLLOW; O_EXCL does for both. */
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0);

/** Writes a new file through to the disk. */
export async function writeNewFile(path: string, data: Uint8Array | string): Promise<void> {
  const file = await open(path, CREATE, 0o600);
  try {
    await file.writeFile(data);
    await file.sync().catch((error: NodeJS.ErrnoException) => {
      // Node's permission model lets nobody sync, whatever may be written.
      if (error.code !== 'ERR_ACCESS_DENIED') throw error;
    });
  } finally {
    await file.close();
  }
}

/** Puts a file in its place at once, over what was there: a symbolic link is replaced, not followed. */
export async function replaceFile(path: string, data: Uint8Array | string): Promise<void> {
  const unfinished = unfinishedName(dirname(path));
  try {
    await writeNewFile(unfinished, data);
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true }).catch(() => {});
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Makes renames in a directory last; not every system can. */
export async function syncDirectory(path: string): Promise<void> {
  try {
    const directory = await open(path, constants.O_RDONLY);
    await directory.sync().finally(() => directory.close());
  } catch {
    // What was renamed is whole in any case.
  }
}
