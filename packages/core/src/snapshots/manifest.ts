import { hostname } from 'node:os';
import type { BlockedState } from '../profiles/sources.js';
import type { Contents, Window } from './contents.js';
import type { Firing } from './triggers.js';

/** What is told about the process. */
export interface ProcessFacts {
  readonly pid: number;
  readonly uptimeMs: number;
  /** Name and version of the engine; undefined when none has loaded. */
  readonly engine: string | undefined;
  /** Version of this package; undefined where it was bundled without its manifest. */
  readonly loopprof: string | undefined;
}

/** `manifest.json` beside the files of a snapshot. */
export interface Manifest {
  /** Changes when a reader of the one before would no longer understand it. */
  readonly manifestVersion: 1;
  readonly reason: string;
  /** The rules that fired, with the values they fired at. */
  readonly triggers: readonly Firing[];
  /** ISO 8601. */
  readonly takenAt: string;
  /** How the event loop was blocked when the rules fired; only in a snapshot that was taken meanwhile. */
  readonly blocked?: BlockedState;
  /** The stretch that the CPU profile covers. */
  readonly window: { readonly from: string; readonly to: string };
  readonly host: string;
  readonly pid: number;
  readonly uptimeMs: number;
  readonly node: string;
  readonly engine: string | null;
  readonly versions: Readonly<Record<string, string>>;
  readonly files: Readonly<
    Record<string, { readonly file: string; readonly sizeBytes: number; readonly notes?: readonly string[] }>
  >;
  /** What there should be besides, and why it could not be had. */
  readonly missing: Readonly<Record<string, string>>;
}

export interface ManifestInput {
  readonly reason: string;
  readonly triggers: readonly Firing[];
  readonly takenAtMs: number;
  readonly blocked?: BlockedState | undefined;
  readonly window: Window;
  readonly contents: Contents;
  readonly facts: ProcessFacts;
}

export function manifestOf(input: ManifestInput): Manifest {
  const { reason, triggers, takenAtMs, blocked, window, contents, facts } = input;
  const { v8 = '', uv = '' } = process.versions;
  return {
    manifestVersion: 1,
    reason,
    triggers,
    takenAt: new Date(takenAtMs).toISOString(),
    ...(blocked ? { blocked } : {}),
    window: { from: isoOf(window.fromMicros), to: isoOf(window.toMicros) },
    host: hostname(),
    pid: facts.pid,
    uptimeMs: Math.round(facts.uptimeMs),
    node: process.version,
    engine: facts.engine ?? null,
    versions: { ...(facts.loopprof === undefined ? {} : { loopprof: facts.loopprof }), v8, uv },
    files: Object.fromEntries(
      contents.parts.map(({ name, file, data, notes }) => [
        name,
        { file, sizeBytes: Buffer.byteLength(data), ...(notes.length > 0 ? { notes } : {}) },
      ]),
    ),
    missing: contents.missing,
  };
}

function isoOf(micros: number): string {
  return new Date(micros / 1000).toISOString();
}
