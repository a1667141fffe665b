import type { Announcer } from './announcer.js';
import type { ResolvedConfig } from './config.js';
import { asLoopprofError, LoopprofError, messageOf } from './errors.js';
import type { Logger } from './logger.js';
import { MAPPING_FILE } from './mapping-file.js';
import { heapLimitBytes } from './monitor/heap-limit.js';
import type { ProfileRegistry } from './profiles/registry.js';
import type { SentSnapshot } from './sidecar/protocol.js';
import type { ProcessFacts } from './snapshots/manifest.js';
import { exportCommand } from './snapshots/out-of-memory.js';
import type { Vitals } from './snapshots/readings.js';
import { snapshotReason, type Snapshot } from './snapshots/snapshot.js';
import { Snapshotter, type SnapshotRequest } from './snapshots/snapshotter.js';
import type { Firing, Look } from './snapshots/triggers.js';
import type { Thread } from './thread.js';
import { watchedRules } from './trigger-rules.js';
import { TriggerWatch } from './trigger-watch.js';

export interface RunSnapshotsOptions {
  readonly registry: ProfileRegistry;
  readonly config: ResolvedConfig;
  /** Absolute path of `profileDir`. */
  readonly directory: string;
  readonly thread: Thread;
  /** What the sidecar calls the profiler, if there is one. */
  readonly contextId: number | undefined;
  readonly facts: () => ProcessFacts;
  readonly logger: Logger;
  /** Told what came of them. */
  readonly announcer: Announcer;
}

/** RunSnapshots has the snapshots of one run of a profiler taken: because they are asked for, or because a rule of `triggers` fired. */
export class RunSnapshots {
  readonly snapshotter: Snapshotter;
  readonly #options: RunSnapshotsOptions;
  #watch: TriggerWatch | undefined;
  #requested: Promise<Snapshot> | undefined;

  constructor(options: RunSnapshotsOptions) {
    this.#options = options;
    this.snapshotter = new Snapshotter(options);
  }

  /** From here on rules fire. */
  watch(): void {
    const { config, thread, contextId, logger } = this.#options;
    if (config.triggers.some(({ on }) => on === 'outOfMemory')) this.#exportWhenExhausted();
    const rules = watchedRules(config.triggers);
    if (rules.length === 0) return;
    const { monitor, session, stalls, sidecar } = thread;
    this.#watch = new TriggerWatch({
      rules,
      monitor,
      stalls: () => stalls,
      maxRoutes: config.maxSeries,
      harvestWithin: (durationMs) => session.harvestWithin(durationMs),
      logger,
      inStep: (look) => {
        if (sidecar && contextId !== undefined) sidecar.lookAtRules(contextId, look);
        else look();
      },
      onFired: (firings) => void this.#takeTriggered(firings),
    });
    this.#watch.start();
  }

  unwatch(): void {
    this.#watch?.stop();
  }

  async take(request: SnapshotRequest): Promise<Snapshot> {
    const beganMs = performance.now();
    const snapshot = await this.snapshotter.take(request);
    this.#options.announcer.snapshotTaken(snapshot, Math.round(performance.now() - beganMs));
    return snapshot;
  }

  /** All who ask while one is being taken get that one. */
  takeRequested(): Promise<Snapshot> {
    this.#requested ??= this.take({ reason: 'http' }).finally(() => {
      this.#requested = undefined;
    });
    return this.#requested;
  }

  /** What the sidecar needs to look at the rules; undefined while none is watched. */
  vitals(): Vitals | undefined {
    return this.#watch?.vitals();
  }

  /** Goes on from what the sidecar has looked at. Calls nothing of the host's: the sidecar may have interrupted that. */
  follow(look: Look): void {
    this.#watch?.follow(look);
  }

  /** The sidecar has taken one, or could not, because a rule fired while the event loop was blocked. */
  onTaken({ outcome, durationMs }: SentSnapshot): void {
    const { announcer } = this.#options;
    // First that it fired, then what came of it.
    this.#watch?.tell();
    if ('error' in outcome)
      announcer.snapshotFailed(new LoopprofError(outcome.error.code, outcome.error.message));
    else announcer.snapshotTaken(outcome, durationMs);
  }

  async #takeTriggered(triggers: readonly [Firing, ...Firing[]]): Promise<void> {
    try {
      await this.take({ reason: snapshotReason(triggers), triggers });
    } catch (error) {
      this.#options.announcer.snapshotFailed(asLoopprofError(error));
    }
  }

  #exportWhenExhausted(): void {
    const { config, directory, thread, facts, logger } = this.#options;
    try {
      const command = exportCommand({
        directory,
        limits: config.snapshots,
        heapLimitBytes: heapLimitBytes(),
        intervalBytes: config.memorySampleBytes,
        mappingFile: MAPPING_FILE,
        facts: facts(),
      });
      if (thread.session.heapRecorder().exportWhenExhausted(command)) return;
      throw new Error(`the engine ${thread.session.engine} cannot tell that the heap is exhausted`);
    } catch (error) {
      logger.warn({ err: error }, `loopprof: the trigger outOfMemory has no effect: ${messageOf(error)}`);
    }
  }
}
