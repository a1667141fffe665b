/** Keeps the snapshots of a directory within their limits, and the reports of hangs within the same, whoever wrote them. */
import { lstat, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { SnapshotLimits } from '../config.js';
import { UNFINISHED, unfinishedName } from './files.js';

/** `20261123T175501.123Z-stall-4711`: sorts by time, and says why and who. */
const SNAPSHOT_NAME = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d\.\d{3})Z-/;

/** What is unfinished for so long was left behind by a process that died; one that wakes up after it writes its next snapshot. */
const ABANDONED_AFTER_MS = 60_000;

/** What a snapshot's name is made of. */
export interface SnapshotId {
  readonly takenAtMs: number;
  readonly reason: string;
  readonly pid: number;
}

/** Reports are files, snapshots directories: the small ones that are many do not push the others out. */
export const REPORT_SUFFIX = '.json';

interface Kept {
  readonly path: string;
  readonly takenAtMs: number;
  readonly sizeBytes: number;
}

export function snapshotName({ takenAtMs, reason, pid }: SnapshotId): string {
  const time = new Date(takenAtMs).toISOString().replaceAll(/[-:]/g, '');
  return `${time}-${reason}-${pid}`;
}

/**
 * Removes the oldest snapshots (or reports) until what is left, and one more of `room.sizeBytes`, is within the limits. Touches nothing
 * but what has a snapshot's name.
 */
export async function makeRoom(
  directory: string,
  limits: SnapshotLimits,
  room: { count: number; sizeBytes: number; nowMs: number; forReports?: boolean },
): Promise<void> {
  const kept = (await snapshotsIn(directory, room.nowMs)).filter(
    ({ path }) => path.endsWith(REPORT_SUFFIX) === (room.forReports === true),
  );
  let { length: count } = kept;
  let sizeBytes = kept.reduce((sum, snapshot) => sum + snapshot.sizeBytes, 0);
  for (const snapshot of kept) {
    const fits = count + room.count <= limits.maxCount && sizeBytes + room.sizeBytes <= limits.maxBytes;
    if (fits && snapshot.takenAtMs >= room.nowMs - limits.maxAgeMs) return;
    await remove(directory, snapshot.path);
    count -= 1;
    sizeBytes -= snapshot.sizeBytes;
  }
}

/** Oldest first. */
async function snapshotsIn(directory: string, nowMs: number): Promise<Kept[]> {
  const kept: Kept[] = [];
  for (const name of (await readdir(directory)).sort()) {
    const path = join(directory, name);
    if (name.startsWith(UNFINISHED)) await removeAbandoned(path, nowMs);
    const takenAtMs = timeOf(name);
    if (takenAtMs === undefined) continue;
    const sizeBytes = await sizeOf(path);
    if (sizeBytes !== undefined) kept.push({ path, takenAtMs, sizeBytes });
  }
  return kept;
}

function timeOf(name: string): number | undefined {
  const [, year, month, day, hour, minute, second] = SNAPSHOT_NAME.exec(name) ?? [];
  const takenAtMs = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(takenAtMs) ? undefined : takenAtMs;
}

/** Undefined for what is not there any more: another process may keep the same directory within limits. */
async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const entry = await lstat(path);
    if (!entry.isDirectory()) return entry.size;
    const files = await Promise.all((await readdir(path)).map((name) => lstat(join(path, name))));
    return files.reduce((sum, { size }) => sum + size, 0);
  } catch {
    return undefined;
  }
}

/** Out of sight at once, so that nobody ever sees half of a snapshot. */
async function remove(directory: string, path: string): Promise<void> {
  const hidden = unfinishedName(directory);
  try {
    await rename(path, hidden);
    await rm(hidden, { recursive: true, force: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

async function removeAbandoned(path: string, nowMs: number): Promise<void> {
  const entry = await lstat(path).catch(() => undefined);
  if (entry && nowMs - entry.mtimeMs > ABANDONED_AFTER_MS) await rm(path, { recursive: true, force: true });
}
