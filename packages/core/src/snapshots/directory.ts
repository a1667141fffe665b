/** The directory that files go to: whether it can be one, and how it comes to be. */
import { accessSync, constants, statSync } from 'node:fs';
import { lstat, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Profiles show file names, function names and traffic: nobody else on this machine is to read them. */
const OWNER_ONLY = 0o700;

/** Why files cannot be written to a directory, which need not exist yet; undefined when they can. Creates nothing. */
export function obstacleTo(directory: string): string | undefined {
  try {
    const existing = nearestExisting(directory);
    if (!statSync(existing).isDirectory()) return `${existing} is not a directory`;
    accessSync(existing, constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function nearestExisting(path: string): string {
  for (let candidate = path; ; candidate = dirname(candidate)) {
    const exists = statSync(candidate, { throwIfNoEntry: false }) !== undefined;
    if (exists || candidate === dirname(candidate)) return candidate;
  }
}

/** Makes the directory unless it is there. Rejects when another user has put a symbolic link in its place. */
export async function ensureDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: OWNER_ONLY });
  const entry = await lstat(directory);
  const own = process.getuid?.();
  if (entry.isSymbolicLink() && own !== undefined && entry.uid !== own && entry.uid !== 0)
    throw new Error('it is a symbolic link that belongs to another user');
}

/** Makes a directory that must not be there yet. */
export async function createDirectory(directory: string): Promise<void> {
  await mkdir(directory, { mode: OWNER_ONLY });
}
