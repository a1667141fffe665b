/**
 * Looks at the rules of `triggers` while the main thread cannot, and takes their snapshots, and those that are asked for, of what
 * can be had meanwhile. The main thread's own look and this one follow each other, so that a rule has one cooldown and one budget,
 * whoever looks.
 */
import { isLoopprofError, LoopprofError, messageOf } from '../errors.js';
import type { Logger } from '../logger.js';
import { ProfileRegistry } from '../profiles/registry.js';
import type { BlockedState, ProfileSources } from '../profiles/sources.js';
import { callbacksOf } from '../recorder/callbacks.js';
import { captureBlocked } from '../snapshots/contents.js';
import type { Vitals } from '../snapshots/readings.js';
import { snapshotReason, type Snapshot } from '../snapshots/snapshot.js';
import { Snapshotter } from '../snapshots/snapshotter.js';
import { Triggers, type Firing, type Look } from '../snapshots/triggers.js';
import type { WatchedRule } from '../trigger-rules.js';
import type { Line } from './line.js';
import type { MainThread } from './main-thread.js';
import type { SentContext, SentLook, SentSnapshot } from './protocol.js';
import { monotonicMs, type Pulse } from './pulse.js';
import { writeToStderr } from './stderr.js';

/** The main thread looks as often, so before that it has not missed a look. */
const LOOK_EVERY_MS = 1000;

const VITALS_DEADLINE_MS = 500;

export interface StandInOptions {
  readonly line: Line;
  readonly pulse: Pulse;
  readonly main: MainThread;
  readonly sources: ProfileSources;
  readonly sent: SentContext;
  readonly rules: readonly WatchedRule[];
  readonly registry: ProfileRegistry;
  readonly logger: Logger;
}

export class StandIn {
  readonly #options: StandInOptions;
  readonly #triggers: Triggers;
  readonly #snapshotter: Snapshotter;
  #last: Look | undefined;
  #looking = false;
  #lookedAtMs = -Infinity;
  #taking: Promise<unknown> = Promise.resolve();
  #requested: Promise<Snapshot> | undefined;

  constructor(options: StandInOptions) {
    this.#options = options;
    this.#triggers = new Triggers(options.rules);
    const { sent, registry, logger } = options;
    const { config, startedMicros } = sent;
    this.#snapshotter = new Snapshotter({
      registry: withoutTurns(registry),
      config,
      directory: config.profileDir,
      startedMicros,
      facts: () => ({ ...sent.process, uptimeMs: process.uptime() * 1000 }),
      logger,
    });
  }

  /** Goes on from what the main thread has looked at. */
  follow(look: Look): void {
    this.#triggers.follow(look);
    this.#last = look;
  }

  /** Looks, unless that was done a moment ago. `forMs`: how long the event loop has been blocked. Never rejects. */
  async look(forMs: number): Promise<void> {
    if (this.#options.rules.length === 0 || this.#looking) return;
    if (forMs < LOOK_EVERY_MS || performance.now() - this.#lookedAtMs < LOOK_EVERY_MS) return;
    this.#looking = true;
    const beganMs = performance.now();
    try {
      if (await this.#options.main.isPausedByDebugger()) return;
      const vitals = await this.#readVitals();
      // Native code is one callback, and gives no samples.
      const callbackMs = vitals ? await this.#callbackMs() : Infinity;
      const seenMs = forMs + performance.now() - beganMs;
      this.#options.pulse.aloneWithRules(() => this.#lookWith(vitals, { seenMs, callbackMs }));
    } catch {
      // The main thread looks again when it can.
    } finally {
      this.#looking = false;
      this.#lookedAtMs = performance.now();
    }
  }

  /** All who ask while one is being taken get that one. Rejects as {@link Snapshotter.take} does. */
  async takeRequested(blocked: BlockedState): Promise<Snapshot> {
    this.#requested ??= this.#takeRequested(blocked).finally(() => (this.#requested = undefined));
    this.#taking = this.#requested.catch(() => {});
    return this.#requested;
  }

  /** Resolves when what is being written is there. */
  async close(): Promise<void> {
    this.#snapshotter.close();
    await this.#taking;
  }

  /** The main thread's own numbers, where it lets us in. */
  async #readVitals(): Promise<Vitals | undefined> {
    const { main, sent } = this.#options;
    try {
      const { contextId } = sent;
      return await main.ask('vitals', { contextId }, { deadlineMs: VITALS_DEADLINE_MS });
    } catch (error) {
      if (isLoopprofError(error) && error.code === 'LOOPPROF_LOOP_BLOCKED') return undefined;
      throw error;
    }
  }

  /** How long the callback has lasted that runs now, as far as samples tell it from those before: a long turn of many is no stall. */
  async #callbackMs(): Promise<number> {
    const { rules, sources } = this.#options;
    const blocked = sources.blocked();
    if (!blocked || !rules.some(({ on }) => on === 'stall')) return Infinity;
    try {
      const endedMicros = Date.now() * 1000;
      const startedMicros = endedMicros - blocked.forMs * 1000;
      const { chunks } = await sources.recorder().window(startedMicros, endedMicros);
      const running = callbacksOf(chunks, { startedMicros, endedMicros }).at(-1);
      return running ? (endedMicros - running.fromMicros) / 1000 : Infinity;
    } catch {
      // Nothing is sampled, or nothing gets in any more.
      return Infinity;
    }
  }

  #lookWith(
    vitals: Vitals | undefined,
    { seenMs, callbackMs }: { seenMs: number; callbackMs: number },
  ): void {
    const { line, sources, sent } = this.#options;
    line.drain();
    const blocked = sources.blocked();
    const last = this.#last;
    // It has returned, and looks itself.
    if (!last || !blocked) return;
    const nowMs = monotonicMs();
    const { method, route } = blocked;
    // It may have returned and be blocked anew.
    const forMs = Math.min(seenMs, blocked.forMs);
    const durationMs = Math.min(forMs, callbackMs);
    const stall = {
      startedMs: nowMs - durationMs,
      durationMs,
      ...(method === undefined ? {} : { method }),
      ...(route === undefined ? {} : { route }),
      ongoing: true,
    };
    const outside = vitalsFromOutside(last, { nowMs, forMs });
    const readings = {
      ...last.readings,
      ...outside,
      ...vitals,
      // The main thread goes by samples that it has not looked at yet.
      loop: outside.loop,
      stalls: [stall],
      requests: [],
      signals: [],
    };
    const look = this.#triggers.look(readings, nowMs);
    this.#last = look;
    line.tell('looked', { contextId: sent.contextId, look } satisfies SentLook);
    const [first, ...others] = look.verdict.fired;
    if (first) this.#taking = this.#take([first, ...others], blocked);
  }

  async #takeRequested(blocked: BlockedState): Promise<Snapshot> {
    const { line, sent } = this.#options;
    const beganMs = performance.now();
    const outcome = await this.#snapshotter.take({ reason: 'http', blocked, capture: captureBlocked });
    const durationMs = Math.round(performance.now() - beganMs);
    line.tell('tookSnapshot', { contextId: sent.contextId, durationMs, outcome } satisfies SentSnapshot);
    return outcome;
  }

  async #take(triggers: readonly [Firing, ...Firing[]], blocked: BlockedState): Promise<void> {
    const { line, sent } = this.#options;
    const beganMs = performance.now();
    const outcome = await this.#outcome(triggers, blocked);
    if ('error' in outcome && outcome.error.code === 'LOOPPROF_NOT_STARTED') return;
    const durationMs = Math.round(performance.now() - beganMs);
    line.tell('tookSnapshot', { contextId: sent.contextId, durationMs, outcome } satisfies SentSnapshot);
    const report = {
      event: 'loopprof.snapshot',
      pid: process.pid,
      triggers,
      blocked,
      ...('error' in outcome
        ? { error: outcome.error.message }
        : { directory: outcome.directory, missing: outcome.missing }),
    };
    try {
      await writeToStderr(JSON.stringify(report));
    } catch {
      // The logger is told when the event loop returns.
    }
  }

  async #outcome(
    triggers: readonly [Firing, ...Firing[]],
    blocked: BlockedState,
  ): Promise<SentSnapshot['outcome']> {
    try {
      const reason = snapshotReason(triggers);
      return await this.#snapshotter.take({ reason, triggers, blocked, capture: captureBlocked });
    } catch (error) {
      const code = isLoopprofError(error) ? error.code : 'LOOPPROF_INTERNAL';
      return { error: { code, message: messageOf(error) } };
    }
  }
}

/** What is certain without the main thread's help: it has been busy since it was blocked. */
function vitalsFromOutside(
  { readings, nowMs: lastMs }: Look,
  { nowMs, forMs }: { nowMs: number; forMs: number },
): Vitals {
  const sinceMs = nowMs - lastMs;
  const busyMs = Math.min(sinceMs, forMs);
  const { activeMs, idleMs } = readings.loop;
  return {
    loop: { activeMs: activeMs + busyMs, idleMs: idleMs + sinceMs - busyMs },
    rssBytes: process.memoryUsage.rss(),
    heapUsedBytes: readings.heapUsedBytes,
    collected: readings.collected,
  };
}

/** What takes turns of the main thread's event loop is not waited for: there are none. */
function withoutTurns(registry: ProfileRegistry): ProfileRegistry {
  const reason = 'It is made by the event loop, which was blocked.';
  return new ProfileRegistry(
    [...registry].map((profile) =>
      profile.offThread
        ? profile
        : { ...profile, capture: () => Promise.reject(new LoopprofError('LOOPPROF_LOOP_BLOCKED', reason)) },
    ),
    registry.documents,
    registry.facts,
  );
}
