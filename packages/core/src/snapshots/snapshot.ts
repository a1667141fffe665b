import { join } from 'node:path';
import type { BlockedState } from '../profiles/sources.js';
import type { Part } from './contents.js';
import { manifestOf, type ManifestInput } from './manifest.js';
import type { SnapshotStore } from './store.js';
import type { Firing } from './triggers.js';

/** What was written to disk at one moment, for one reason. */
export interface Snapshot {
  /** `manual`, `http`, or what fired, such as `stall`. */
  readonly reason: string;
  /** The rules that fired, with the values they fired at. */
  readonly triggers: readonly Firing[];
  /** How the event loop was blocked when the rules fired; only in a snapshot that was taken meanwhile. */
  readonly blocked?: BlockedState;
  /** Absolute path; its name begins with the time and ends with the pid. */
  readonly directory: string;
  /** Absolute path of `manifest.json`. */
  readonly manifest: string;
  /** Name (`cpu`, `memory`, `gc_stats`, …) to absolute path. */
  readonly files: Readonly<Record<string, string>>;
  /** What there should be besides, and why it could not be had. */
  readonly missing: Readonly<Record<string, string>>;
}

/** Named after the first rule that fired. */
export function snapshotReason([{ on }]: readonly [Firing, ...Firing[]]): string {
  return on.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

const MANIFEST = 'manifest.json';

/**
 * Writes the files of a snapshot and its manifest beside them. `onWritten` is called before they appear; when it throws, they
 * never do.
 */
export async function writeSnapshot(
  store: SnapshotStore,
  input: ManifestInput,
  onWritten?: () => void,
): Promise<Snapshot> {
  const { reason, triggers, takenAtMs, blocked, contents, facts } = input;
  const files = [
    ...contents.parts.map(({ file, data }) => ({ name: file, data })),
    { name: MANIFEST, data: `${JSON.stringify(manifestOf(input), undefined, 2)}\n` },
  ];
  const directory = await store.writeSnapshot({ takenAtMs, reason, pid: facts.pid }, files, onWritten);
  const pathOf = ({ name, file }: Part): [string, string] => [name, join(directory, file)];
  return {
    reason,
    triggers,
    ...(blocked ? { blocked } : {}),
    directory,
    manifest: join(directory, MANIFEST),
    files: Object.fromEntries(contents.parts.map(pathOf)),
    missing: contents.missing,
  };
}
