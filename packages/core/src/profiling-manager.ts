import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { ProfilerConfig } from './config.js';
import { LoopprofError, messageOf } from './errors.js';
import { guardedLogger, silentLogger, type Logger } from './logger.js';
import type { RuntimeMetrics } from './monitor/runtime.js';
import { Profiler } from './profiler.js';
import { aborted, keepAlive } from './snapshots/abort.js';
import { captureProfiles } from './snapshots/contents.js';
import { Recording } from './snapshots/recording.js';

/** The profiles that a ProfilingManager takes. */
export const ProfileType = {
  /** Where the CPU went between start and stop. */
  CPU: 'cpu',
  /** What is held on the heap at the stop. */
  MEMORY: 'memory',
  /** What blocked the event loop, counted up to the stop. */
  BLOCK: 'block',
  /** What waited for something that others held, counted up to the stop. */
  MUTEX: 'mutex',
  /** The asynchronous operations that are pending at the stop. */
  GOROUTINE: 'goroutine',
} as const;

export type ProfileType = (typeof ProfileType)[keyof typeof ProfileType];

const TYPES: readonly string[] = Object.values(ProfileType);

const LONGEST_MS = 3_600_000;

/** A CPU profile over less than this says nothing. */
const SHORTEST_CPU_MS = 1000;

/**
 * ProfilingManager takes one profile after the other, or several at once, each for a time, and writes them to files in `profileDir`.
 *
 * The recorder is started by the first call and runs until `stop()`. Its standalone server is started only when `httpAddr` is given.
 *
 * @example
 * ```ts
 * import { ProfileType, ProfilingManager } from '@loopprof/core';
 *
 * const manager = new ProfilingManager({ profileDir: '/var/lib/app/profiles' });
 * await manager.startProfile(ProfileType.CPU, 30_000);
 * await nightlyImport();
 * console.log(await manager.stopProfile(ProfileType.CPU)); // …/20261123T175501.123Z-cpu-profile-4711/cpu.prof
 * await manager.stop();
 * ```
 */
export class ProfilingManager {
  readonly #profiler: Profiler;
  readonly #logger: Logger;
  readonly #recordings = new Map<ProfileType, Recording>();
  #starting: Promise<void> | undefined;

  /**
   * @param config Fields that differ from `defaultProfilerConfig()`; checked by the first call.
   * @param logger Anything of pino's shape; without one nothing is logged.
   */
  constructor(config: Partial<ProfilerConfig> = {}, logger: Logger = silentLogger) {
    this.#logger = guardedLogger(logger);
    this.#profiler = new Profiler(
      {
        ...config,
        enableHTTP: config.enableHTTP ?? config.httpAddr !== undefined,
        writeOnStop: config.writeOnStop ?? false,
      },
      logger,
    );
  }

  /**
   * Starts a profile, which ends by itself after `durationMs` and is then written to its file. Resolves once it runs.
   *
   * @param type One of `ProfileType`; each may run once at a time.
   * @param durationMs 1 to 3 600 000.
   * @param options With `signal`, which throws the profile away when it aborts.
   * @throws LOOPPROF_ALREADY_STARTED while one of this type runs, LOOPPROF_UNKNOWN_PROFILE, LOOPPROF_PROFILE_DISABLED,
   * LOOPPROF_INVALID_PARAMETER for the duration, LOOPPROF_ABORTED, LOOPPROF_INVALID_CONFIG, LOOPPROF_ENGINE_UNAVAILABLE.
   */
  async startProfile(
    type: ProfileType,
    durationMs: number,
    { signal }: { signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    checkType(type);
    if (!Number.isInteger(durationMs) || durationMs < 1 || durationMs > LONGEST_MS) {
      throw new LoopprofError(
        'LOOPPROF_INVALID_PARAMETER',
        `\`durationMs\` must be an integer from 1 to ${LONGEST_MS}, got ${String(durationMs)} (${typeof durationMs}).`,
      );
    }
    await this.#start();
    const running = this.#recordings.get(type);
    if (running && !running.ended) {
      throw new LoopprofError(
        'LOOPPROF_ALREADY_STARTED',
        `A ${type} profile is already running: stopProfile('${type}') ends it.`,
      );
    }
    const recording = new Recording(this.#profiler.snapshotter, type, { durationMs, signal });
    this.#recordings.set(type, recording);
    recording.path.catch((error: unknown) => this.#onFailure(type, error));
    // What cannot even begin fails by then.
    await Promise.race([recording.path, nextTurn()]).catch((error: unknown) => {
      this.#recordings.delete(type);
      throw error;
    });
  }

  /**
   * Ends a profile, unless it has ended by itself, and gives the absolute path of its file.
   *
   * @throws LOOPPROF_NOT_STARTED when none of this type was started since the last stop, LOOPPROF_UNKNOWN_PROFILE,
   * LOOPPROF_ABORTED when its signal has aborted, LOOPPROF_WRITE_FAILED.
   */
  async stopProfile(type: ProfileType): Promise<string> {
    checkType(type);
    const recording = this.#recordings.get(type);
    if (!recording) {
      throw new LoopprofError(
        'LOOPPROF_NOT_STARTED',
        `No ${type} profile was started: call startProfile('${type}', durationMs) first.`,
      );
    }
    this.#recordings.delete(type);
    recording.end();
    return keepAlive(recording.path);
  }

  /**
   * Writes every profile that is on, as it is now. The CPU profile covers the last `profileDurationMs`, or the time since the
   * recorder was started; when that was less than a second ago, the second is waited for.
   *
   * @returns Type to absolute path; types that are turned off or cannot be had are missing.
   * @throws LOOPPROF_WRITE_FAILED, LOOPPROF_INVALID_CONFIG, and LOOPPROF_ABORTED when `signal` aborts.
   */
  async captureAllProfiles({ signal }: { signal?: AbortSignal | undefined } = {}): Promise<
    Partial<Record<ProfileType, string>>
  > {
    await this.#start();
    const { snapshotter } = this.#profiler;
    const missingMs = snapshotter.startedMicros / 1000 + SHORTEST_CPU_MS - Date.now();
    if (missingMs > 0) await waitFor(missingMs, signal);
    const request = { reason: 'all-profiles', capture: captureProfiles, signal };
    const { files } = await keepAlive(snapshotter.take(request));
    return { ...files };
  }

  /** The process in numbers, as `Profiler.reportMetrics()`. */
  getMetrics(): RuntimeMetrics {
    // The recorder is there when this returns; who waits for the rest, waits for it in another call.
    this.#start().catch(() => {});
    return this.#profiler.reportMetrics();
  }

  /** Ends the profiles that run, writes their files, and gives up the recorder. Never rejects; what fails is logged. */
  async stop(): Promise<void> {
    const recordings = [...this.#recordings.values()];
    this.#recordings.clear();
    for (const recording of recordings) recording.end();
    await keepAlive(Promise.allSettled(recordings.map(({ path }) => path)));
    this.#starting = undefined;
    await this.#profiler.stop();
  }

  /** `await using manager = new ProfilingManager()` stops it at the end of the block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #start(): Promise<void> {
    this.#starting ??= this.#profiler.start().catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  #onFailure(type: ProfileType, error: unknown): void {
    this.#logger.debug({ err: error, type }, `loopprof: no ${type} profile: ${messageOf(error)}`);
  }
}

async function waitFor(durationMs: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(durationMs, undefined, signal ? { signal } : {});
  } catch {
    throw aborted();
  }
}

function checkType(type: unknown): asserts type is ProfileType {
  if (TYPES.includes(type as string)) return;
  throw new LoopprofError(
    'LOOPPROF_UNKNOWN_PROFILE',
    `There is no profile type '${String(type)}'. Types are: ${TYPES.join(', ')}.`,
  );
}
