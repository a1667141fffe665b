/** What is in a snapshot, made of whatever the registry has. */
import type { ResolvedConfig } from '../config.js';
import { isLoopprofError, messageOf } from '../errors.js';
import { isEnabled, type CaptureRequest, type Profile } from '../profiles/profile.js';
import type { ProfileRegistry } from '../profiles/registry.js';
import { aborted } from './abort.js';

/** A profile of the registry by what it is called in a snapshot. */
interface ProfilePart {
  /** Its name in the registry. */
  readonly profile: string;
  readonly file: string;
}

interface DocumentPart {
  readonly document: string;
  readonly file: string;
}

/** Names and files of the profiles, as `stop()` and snapshots write them. */
export const PROFILE_PARTS = {
  cpu: { profile: 'profile', file: 'cpu.prof' },
  memory: { profile: 'heap', file: 'mem.prof' },
  block: { profile: 'block', file: 'block.prof' },
  mutex: { profile: 'mutex', file: 'mutex.prof' },
  goroutine: { profile: 'goroutine', file: 'goroutine.prof' },
} as const satisfies Record<string, ProfilePart>;

export type ProfilePartName = keyof typeof PROFILE_PARTS;

/** Counters that a snapshot has besides: what was going on while the profiles were taken. */
const DOCUMENT_PARTS: Readonly<Record<string, DocumentPart>> = {
  gc_stats: { document: 'gc', file: 'gc_stats.json' },
  requests: { document: 'requests', file: 'requests.json' },
  runtime: { document: 'runtime', file: 'runtime.json' },
  stalls: { document: 'stalls', file: 'stalls.json' },
};

/** What holds the event loop, in a snapshot that is taken meanwhile. */
const BLOCKED_PARTS: Readonly<Record<string, DocumentPart>> = {
  stack: { document: 'stack', file: 'stack.json' },
};

/** What of the configuration a snapshot depends on: all but what another thread cannot have. */
export type SnapshotConfig = Omit<ResolvedConfig, 'access' | 'given'>;

export interface Part {
  readonly name: string;
  readonly file: string;
  readonly data: Uint8Array | string;
  /** What the reader must know to trust the numbers. */
  readonly notes: readonly string[];
}

/** A stretch of time, in microseconds since the epoch. */
export interface Window {
  readonly fromMicros: number;
  readonly toMicros: number;
}

export interface Contents {
  readonly parts: readonly Part[];
  /** Parts that there should be, and why they could not be had. */
  readonly missing: Readonly<Record<string, string>>;
}

export interface ContentsOptions {
  readonly registry: ProfileRegistry;
  readonly config: SnapshotConfig;
  /** The stretch that the CPU profile covers. */
  readonly window: Window;
  readonly signal?: AbortSignal | undefined;
}

/** All there is. */
export async function captureAll(options: ContentsOptions): Promise<Contents> {
  const documents = await readDocuments(options, DOCUMENT_PARTS);
  const profiles = await captureProfiles(options);
  return together([profiles, documents]);
}

/** The same while the event loop is blocked: what may pass first. */
export async function captureBlocked(options: ContentsOptions): Promise<Contents> {
  const stack = await readDocuments(options, BLOCKED_PARTS);
  const profiles = await captureProfiles(options);
  const documents = await readDocuments(options, DOCUMENT_PARTS);
  return together([profiles, documents, stack]);
}

/** Captures the profiles that are registered and enabled, one after the other. Rejects only with LOOPPROF_ABORTED. */
export function captureProfiles(options: ContentsOptions): Promise<Contents> {
  const { registry, config } = options;
  return collect(
    Object.entries(PROFILE_PARTS).flatMap(([name, { profile: wanted, file }]) => {
      const profile = registry.lookup(wanted);
      if (!profile || !isEnabled(profile, config)) return [];
      return [{ name, file, read: () => captureNow(profile, options) }];
    }),
    options.signal,
  );
}

function readDocuments(
  { registry, signal }: ContentsOptions,
  parts: Readonly<Record<string, DocumentPart>>,
): Promise<Contents> {
  return collect(
    Object.entries(parts).flatMap(([name, { document: wanted, file }]) => {
      const document = registry.documents.find((each) => each.name === wanted);
      if (!document) return [];
      const read = async () => {
        const value = await document.read();
        return { data: `${JSON.stringify(value, undefined, 2)}\n`, notes: [] };
      };
      return [{ name, file, read }];
    }),
    signal,
  );
}

/** Captures a profile as it is now; `window` is for those that cover a stretch of time. */
export async function captureNow(
  profile: Profile,
  { window, signal }: Pick<ContentsOptions, 'window' | 'signal'>,
): Promise<Pick<Part, 'data' | 'notes'>> {
  const request: CaptureRequest = { debug: 0, gc: false, signal };
  const { body, notes } = await profile.capture(
    profile.seconds === 'window' ? { ...request, window } : request,
  );
  return { data: body, notes };
}

function together(contents: readonly Contents[]): Contents {
  return {
    parts: contents.flatMap(({ parts }) => parts),
    missing: Object.assign({}, ...contents.map(({ missing }) => missing)) as Contents['missing'],
  };
}

interface Readable {
  readonly name: string;
  readonly file: string;
  readonly read: () => Pick<Part, 'data' | 'notes'> | Promise<Pick<Part, 'data' | 'notes'>>;
}

async function collect(readables: readonly Readable[], signal: AbortSignal | undefined): Promise<Contents> {
  const parts: Part[] = [];
  const missing: Record<string, string> = {};
  for (const { name, file, read } of readables) {
    if (signal?.aborted) throw aborted();
    try {
      parts.push({ name, file, ...(await read()) });
    } catch (error) {
      if (isLoopprofError(error) && error.code === 'LOOPPROF_ABORTED') throw error;
      missing[name] = messageOf(error);
    }
  }
  return { parts, missing };
}
