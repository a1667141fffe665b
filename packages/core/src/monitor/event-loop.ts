import { clockMs } from './clock.js';
import { Intervals } from './intervals.js';
import { LatencyHistogram } from './latency-histogram.js';
import { LoopTime, type LoopTimes } from './loop-time.js';

/** Distance of the heartbeats. */
const BEAT_MS = 20;

/** A beat that is late by more than this found the loop blocked; less is the timers' and the scheduler's own imprecision. */
const LATE_MS = 10;

/** A callback that has lasted so long is watched to its end. */
const WATCHED_FROM_MS = 2;

/** Whoever awaits it goes on with the promise jobs of the callback that runs. */
const THROUGH = Promise.resolve();

/** What a loop is idle between two marks is read no more often than this. */
const IDLE_READ_EVERY_MS = 0.5;

/**
 * What the system has given the thread is read after so much work, or that long a time: it takes some microseconds, and an idle thread
 * is given next to nothing.
 */
const TIMES_READ_EVERY_WORK_MS = 5;
const TIMES_READ_EVERY_MS = 20;

/** Of one turn; it would have to last for seconds to have more. */
const MAX_SILENCES = 100;

/** Readings of the utilisation are kept this far apart, and this many of them. */
const READING_EVERY_MS = 1000;
const READINGS = 11;

export interface EventLoopDelay {
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** What the system has given the thread so far. */
export interface ThreadTimes {
  readonly cpuMs: number;
  readonly runDelayMs: number;
}

/** A time without a sign of another callback; times are `performance.now()`. */
export interface Silence {
  readonly startMs: number;
  readonly endMs: number;
  /** How long the loop waited for events right before it, as far as that is known. */
  readonly waitedMs: number;
  /** What the thread was given in it; undefined where the system does not tell. */
  readonly given: ThreadTimes | undefined;
}

/** A stretch in which the loop was blocked; times are `performance.now()`. */
export interface BlockedTurn {
  readonly startMs: number;
  readonly endMs: number;
  /** The long silences in it: where callbacks blocked the loop, these are they, and not what had piled up behind them. */
  readonly silences: readonly Silence[];
}

export interface EventLoopListeners {
  onBlocked(turn: BlockedTurn): void;
  onBeat(): void;
}

export interface EventLoopOptions extends EventLoopListeners {
  /** From when on a silence is a long one. */
  longSilenceMs: number;
  /** What the system has given the thread so far; undefined where it does not tell. */
  threadTimes?: () => ThreadTimes | undefined;
}

/** Watches the event loop from inside it: how late its timers are, when it was blocked, how much of the time it is busy. */
export class EventLoopMonitor {
  /** When the loop was blocked. */
  readonly blocked = new Intervals();
  readonly time = new LoopTime();
  readonly #options: EventLoopOptions;
  readonly #delay = new LatencyHistogram();
  #readings: LoopTimes[] = [];
  #timer: NodeJS.Timeout | undefined;
  #beatAtMs = 0;
  #idleMs = 0;
  #readingAtMs = 0;
  #times: ThreadTimes | undefined;
  #timesAtMs = 0;
  #idleAtTimesMs = 0;
  #markedAtMs = 0;
  #idleAtMarkMs = 0;
  #idleReadAtMs = 0;
  #silences: Silence[] = [];
  /** Since when the callback has been at work whose end is awaited. */
  #watchedFromMs: number | undefined;

  constructor(options: EventLoopOptions) {
    this.#options = options;
  }

  start(): void {
    this.#beatAtMs = this.#readingAtMs = this.#markedAtMs = this.#idleReadAtMs = clockMs();
    this.#timesAtMs = this.#beatAtMs;
    this.#idleMs = this.#idleAtMarkMs = this.#idleAtTimesMs = performance.nodeTiming.idleTime;
    this.#times = this.#options.threadTimes?.();
    this.#readings = [this.time.read()];
    this.#timer = setInterval(() => this.#beat(), BEAT_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#watchedFromMs = undefined;
  }

  /** Whether the loop has been blocked since the last beat, which has not been able to tell yet. */
  get overdue(): boolean {
    return clockMs() - this.#beatAtMs > BEAT_MS + LATE_MS;
  }

  /** How late timers were, without the time they were set to. */
  get delay(): EventLoopDelay {
    const { count, sumMs, p50Ms, p99Ms, maxMs } = this.#delay.summary();
    return { meanMs: count > 0 ? sumMs / count : 0, p50Ms, p99Ms, maxMs };
  }

  /** Share of the last ten seconds in which the loop was not waiting; since the start before that. */
  get utilization(): number {
    const from = this.#readings[0];
    const to = this.time.read();
    const activeMs = Math.max(0, to.activeMs - (from?.activeMs ?? 0));
    const idleMs = Math.max(0, to.idleMs - (from?.idleMs ?? 0));
    return activeMs + idleMs > 0 ? activeMs / (activeMs + idleMs) : 0;
  }

  /** How long it was blocked in [fromMs, now), what is blocking it now included. */
  blockedSinceMs(fromMs: number, totalAtFromMs: number): number {
    const nowMs = clockMs();
    const past = this.blocked.coveredMs(fromMs, nowMs, totalAtFromMs);
    if (nowMs - this.#beatAtMs - BEAT_MS <= LATE_MS) return past;
    const busyMs = busyWithin(nowMs - this.#beatAtMs, performance.nodeTiming.idleTime - this.#idleMs);
    return past + Math.min(busyMs, nowMs - fromMs);
  }

  /** Another callback has begun: time before and after this moment was not one callback's. */
  mark(nowMs: number): void {
    if (this.#watchedFromMs !== undefined) this.#endWatched(nowMs);
    // A busy loop marks often; how long it has been idle is not worth reading each time.
    if (nowMs - this.#idleReadAtMs > IDLE_READ_EVERY_MS) {
      const idleMs = performance.nodeTiming.idleTime;
      this.#noteSilence({ startMs: this.#silentSince(nowMs, idleMs), endMs: nowMs, idleMs });
    }
    this.#markedAtMs = nowMs;
  }

  /** A callback is at work, and may go on. */
  markWithin(nowMs: number): void {
    if (this.#watchedFromMs !== undefined) return;
    if (nowMs - this.#idleReadAtMs > IDLE_READ_EVERY_MS) {
      const idleMs = performance.nodeTiming.idleTime;
      const startMs = this.#silentSince(nowMs, idleMs);
      if (nowMs - startMs >= WATCHED_FROM_MS) {
        this.#watchedFromMs = startMs;
        void this.#watch();
        return;
      }
      this.#noteSilence({ startMs, endMs: nowMs, idleMs });
    }
    this.#markedAtMs = nowMs;
  }

  /** Ends with the callback: its promise jobs run when that is through, before the next one. */
  async #watch(): Promise<void> {
    await THROUGH;
    try {
      if (this.#watchedFromMs !== undefined) this.#endWatched(clockMs());
    } catch {
      // A rejection would be the host's.
    }
  }

  #endWatched(nowMs: number): void {
    const startMs = this.#watchedFromMs as number;
    this.#watchedFromMs = undefined;
    this.#noteSilence({ startMs, endMs: nowMs, idleMs: performance.nodeTiming.idleTime });
    this.#markedAtMs = nowMs;
  }

  /** Since when there has been no mark, what the loop was idle since then left out. */
  #silentSince(nowMs: number, idleMs: number): number {
    const gapMs = nowMs - this.#markedAtMs;
    return this.#markedAtMs + (gapMs - busyWithin(gapMs, idleMs - this.#idleAtMarkMs));
  }

  #noteSilence({ startMs, endMs, idleMs }: { startMs: number; endMs: number; idleMs: number }): void {
    const isLong = endMs - startMs >= this.#options.longSilenceMs;
    const given = isLong || this.#timesAreOld(endMs, idleMs) ? this.#takeTimes(endMs, idleMs) : undefined;
    const waitedMs = startMs - this.#markedAtMs;
    if (isLong && this.#silences.length < MAX_SILENCES)
      this.#silences.push({ startMs, endMs, waitedMs, given });
    this.#idleAtMarkMs = idleMs;
    this.#idleReadAtMs = endMs;
  }

  #beat(): void {
    const nowMs = clockMs();
    const idleMs = performance.nodeTiming.idleTime;
    const gapMs = nowMs - this.#beatAtMs;
    const busyMs = busyWithin(gapMs, idleMs - this.#idleMs);
    this.mark(nowMs);
    this.#beatAtMs = nowMs;
    this.#idleMs = idleMs;
    const lateMs = Math.max(0, gapMs - BEAT_MS);
    this.#delay.record(lateMs);
    if (lateMs > LATE_MS && busyMs > LATE_MS) {
      this.blocked.add(nowMs - busyMs, nowMs);
      this.#options.onBlocked({ startMs: nowMs - busyMs, endMs: nowMs, silences: this.#silences });
    }
    if (this.#silences.length > 0) this.#silences = [];
    if (nowMs - this.#readingAtMs >= READING_EVERY_MS) {
      this.#readingAtMs = nowMs;
      this.#readings.push(this.time.read());
      if (this.#readings.length > READINGS) this.#readings.shift();
    }
    this.#options.onBeat();
  }

  #timesAreOld(nowMs: number, idleMs: number): boolean {
    const sinceMs = nowMs - this.#timesAtMs;
    const workedMs = sinceMs - (idleMs - this.#idleAtTimesMs);
    return workedMs > TIMES_READ_EVERY_WORK_MS || sinceMs > TIMES_READ_EVERY_MS;
  }

  /** What the thread was given since the last time; undefined where the system does not tell. */
  #takeTimes(nowMs: number, idleMs: number): ThreadTimes | undefined {
    const before = this.#times;
    const times = this.#options.threadTimes?.();
    this.#times = times;
    this.#timesAtMs = nowMs;
    this.#idleAtTimesMs = idleMs;
    return (
      times &&
      before && { cpuMs: times.cpuMs - before.cpuMs, runDelayMs: times.runDelayMs - before.runDelayMs }
    );
  }
}

/**
 * What of the time between two beats, or two marks, the loop was not waiting for events. It never has a reason to wait past the next beat: what
 * is more than that, it was not let run.
 */
function busyWithin(gapMs: number, idleMs: number): number {
  return Math.max(0, gapMs - (idleMs > BEAT_MS + LATE_MS ? BEAT_MS : idleMs));
}
