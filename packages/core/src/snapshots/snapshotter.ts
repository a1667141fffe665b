import { LoopprofError } from '../errors.js';
import type { Logger } from '../logger.js';
import { isEnabled, type Profile } from '../profiles/profile.js';
import type { ProfileRegistry } from '../profiles/registry.js';
import type { BlockedState } from '../profiles/sources.js';
import { aborted, Revocation, unlessAborted } from './abort.js';
import {
  captureAll,
  captureProfiles,
  PROFILE_PARTS,
  type Contents,
  type ContentsOptions,
  type ProfilePartName,
  type SnapshotConfig,
  type Window,
} from './contents.js';
import type { ProcessFacts } from './manifest.js';
import { writeSnapshot, type Snapshot } from './snapshot.js';
import { SnapshotStore } from './store.js';
import type { Firing } from './triggers.js';

export interface SnapshotRequest {
  readonly reason: string;
  readonly triggers?: readonly Firing[];
  /** How the event loop is blocked, if it is. */
  readonly blocked?: BlockedState | undefined;
  /** Which parts, and by default all of them and the counters of the moment. */
  readonly capture?: (options: ContentsOptions) => Promise<Contents>;
  /** The stretch that the CPU profile covers, by default the last `profileDurationMs`. */
  readonly window?: Window;
  readonly signal?: AbortSignal | undefined;
}

export interface SnapshotterOptions {
  readonly registry: ProfileRegistry;
  readonly config: SnapshotConfig;
  /** Absolute path of `profileDir`. */
  readonly directory: string;
  /** When the profiler was started, by default now. */
  readonly startedMicros?: number;
  readonly facts: () => ProcessFacts;
  readonly logger: Logger;
}

/** The files of `stop()` are not worth more of anybody's time than this. */
const LONGEST_FINAL_MS = 5000;

/** Takes the snapshots of one run of a profiler, one at a time. */
export class Snapshotter {
  /** When the profiler was started. */
  readonly startedMicros: number;
  readonly #options: SnapshotterOptions;
  readonly #store: SnapshotStore;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(options: SnapshotterOptions) {
    this.#options = options;
    const { directory, config, logger, startedMicros = Date.now() * 1000 } = options;
    this.startedMicros = startedMicros;
    this.#store = new SnapshotStore({ directory, limits: config.snapshots, logger });
  }

  /**
   * Takes a snapshot as soon as those before it are done. Rejects with LOOPPROF_WRITE_FAILED, LOOPPROF_ABORTED when the signal
   * aborts, and LOOPPROF_NOT_STARTED when the profiler is stopped before its turn comes.
   */
  async take(request: SnapshotRequest): Promise<Snapshot> {
    const revocation = new Revocation(request.signal);
    const taken = this.#inTurn(() => {
      if (this.#closed) throw stopped();
      return this.#take(request, revocation);
    }, revocation.signal);
    return taken.finally(() => revocation.release());
  }

  /**
   * Writes each profile as it is now under its own name. Never rejects and never takes long: what cannot be written is logged. Nothing
   * is taken after it.
   */
  async writeFinal(): Promise<void> {
    const signal = AbortSignal.timeout(LONGEST_FINAL_MS);
    const written = this.#inTurn(async () => {
      const { parts } = await captureProfiles(this.#contentsOptions(signal));
      for (const { file, data } of parts) {
        if (signal.aborted) return;
        await this.#store.writeFile({ name: file, data });
      }
    }, signal);
    this.#closed = true;
    try {
      await written;
    } catch (error) {
      if (!signal.aborted) return;
      this.#options.logger.warn(
        { err: error },
        `loopprof: the profiles of stop() were not written within ${LONGEST_FINAL_MS} ms`,
      );
    }
  }

  /** The profile of that name; throws LOOPPROF_UNKNOWN_PROFILE or LOOPPROF_PROFILE_DISABLED. */
  profile(name: ProfilePartName): Profile {
    const { registry, config } = this.#options;
    const profile = registry.lookup(PROFILE_PARTS[name].profile);
    if (!profile) throw new LoopprofError('LOOPPROF_UNKNOWN_PROFILE', `There is no ${name} profile.`);
    if (isEnabled(profile, config)) return profile;
    throw new LoopprofError(
      'LOOPPROF_PROFILE_DISABLED',
      `The ${name} profile is turned off: \`${profile.enabledBy}\` is false.`,
    );
  }

  /** Refuses what has not had its turn, and lets go of the directory. */
  close(): void {
    this.#closed = true;
    this.#store.close();
  }

  async #take(request: SnapshotRequest, revocation: Revocation): Promise<Snapshot> {
    const { reason, triggers = [], blocked, capture = captureAll } = request;
    const { signal } = revocation;
    await this.#store.prepare();
    const takenAtMs = Date.now();
    const options = {
      ...this.#contentsOptions(signal),
      ...(request.window ? { window: request.window } : {}),
    };
    const contents = await capture(options);
    if (signal.aborted) throw aborted();
    const input = {
      reason,
      triggers,
      takenAtMs,
      blocked,
      window: options.window,
      contents,
      facts: this.#options.facts(),
    };
    return writeSnapshot(this.#store, input, () => revocation.end());
  }

  #contentsOptions(signal: AbortSignal | undefined): ContentsOptions {
    const { registry, config } = this.#options;
    const toMicros = Date.now() * 1000;
    const reachMs = Math.min(config.profileDurationMs, config.windowMs);
    const fromMicros = Math.max(this.startedMicros, toMicros - reachMs * 1000);
    return { registry, config, window: { fromMicros, toMicros }, signal };
  }

  /** One at a time, so that snapshots that come all at once cost no more memory than one. */
  #inTurn<T>(run: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const result = this.#last.then(() => {
      if (signal?.aborted) throw aborted();
      return run();
    });
    this.#last = result.catch(() => {});
    return unlessAborted(result, signal);
  }
}

function stopped(): LoopprofError {
  return new LoopprofError('LOOPPROF_NOT_STARTED', 'The profiler was stopped before the snapshot was taken.');
}
