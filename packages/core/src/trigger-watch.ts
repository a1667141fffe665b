/** Reads, once a second, what the rules of `triggers` look at, and has a snapshot taken when one of them fires. */
import { messageOf } from './errors.js';
import type { Logger } from './logger.js';
import { heapLimitBytes, oldGenerationBytes } from './monitor/heap-limit.js';
import { memoryLimitBytes } from './monitor/memory-limit.js';
import type { Monitor } from './monitor/monitor.js';
import { RequestWindow } from './monitor/request-window.js';
import { mainProcess } from './realm.js';
import type { Stall } from './recorder/stalls.js';
import { monotonicMs } from './sidecar/pulse.js';
import type { Readings, StallReading, Vitals } from './snapshots/readings.js';
import { Triggers, type Firing, type HeldBack, type Look } from './snapshots/triggers.js';
import { REQUESTS_OVER_MS, type WatchedRule } from './trigger-rules.js';

export interface TriggerWatchOptions {
  readonly rules: readonly WatchedRule[];
  readonly monitor: Monitor;
  /** How many stalls there have been, and the last ones, newest first. */
  readonly stalls: () => { readonly count: number; readonly last: readonly Stall[] };
  /** Routes kept apart. */
  readonly maxRoutes: number;
  /** Has the samples looked at by then, which tell how busy the event loop is. */
  readonly harvestWithin: (durationMs: number) => void;
  readonly logger: Logger;
  /** Has the look had in step with the sidecar, which looks while this thread cannot; or leaves this one out. */
  readonly inStep: (look: () => Look) => void;
  /** Told of the rules that fired in one reading, of which there is at least one. */
  readonly onFired: (firings: readonly [Firing, ...Firing[]]) => void;
}

const READ_EVERY_MS = 1000;

export class TriggerWatch {
  readonly #options: TriggerWatchOptions;
  readonly #triggers: Triggers;
  readonly #signals: readonly NodeJS.Signals[];
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.#received.push(signal);
    this.#look();
  };
  readonly #heapLimitBytes = heapLimitBytes();
  #windows: readonly RequestWindow[] = [];
  #received: string[] = [];
  /** Of what the sidecar has looked at, that which the log is to tell. */
  #untold: Look[] = [];
  /** What the start of the process held up is not for the rules. */
  readonly #beganMs = monotonicMs();
  #stallsSeen: number;
  #timer: NodeJS.Timeout | undefined;
  #unsubscribe: (() => void) | undefined;

  constructor(options: TriggerWatchOptions) {
    this.#options = options;
    this.#triggers = new Triggers(options.rules);
    this.#stallsSeen = options.stalls().count;
    this.#signals = unique(options.rules.flatMap((rule) => (rule.on === 'signal' ? [rule.signal] : [])));
  }

  start(): void {
    const { rules, monitor, maxRoutes } = this.#options;
    const lengths = rules.flatMap((rule) =>
      rule.on === 'latency' || rule.on === 'errors' ? [rule.overMs ?? REQUESTS_OVER_MS] : [],
    );
    const nowMs = performance.now();
    const windows = unique(lengths).map((overMs) => new RequestWindow({ overMs, maxRoutes, nowMs }));
    this.#windows = windows;
    if (windows.length > 0)
      this.#unsubscribe = monitor.requests.subscribe((timing) => {
        for (const window of windows) window.record(timing);
      }, 0);
    for (const signal of this.#signals) mainProcess.on(signal, this.#onSignal);
    this.#timer = setInterval(() => this.#look(), READ_EVERY_MS).unref();
    this.#look();
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const signal of this.#signals) mainProcess.removeListener(signal, this.#onSignal);
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
  }

  /** Goes on from what the sidecar has looked at. Calls nothing of the host's: the sidecar may have interrupted that. */
  follow(look: Look): void {
    this.#triggers.follow(look);
    const { fired, heldBack } = look.verdict;
    if (fired.length + heldBack.length > 0) this.#untold.push(look);
  }

  /** Says in the log what came of it. */
  tell(): void {
    for (const look of this.#untold.splice(0))
      this.#log(look, 'the sidecar takes a snapshot while the event loop is blocked');
  }

  /** What can be read whatever this thread is in the middle of. */
  vitals(): Vitals {
    return {
      loop: this.#options.monitor.eventLoop.time.read(),
      rssBytes: process.memoryUsage.rss(),
      heapUsedBytes: oldGenerationBytes(),
      collected: this.#options.monitor.gc.collected,
    };
  }

  /** Never throws: a timer of the host's process runs it. */
  #look(): void {
    const { logger, inStep, onFired, rules, harvestWithin } = this.#options;
    try {
      if (rules.some(({ on }) => on === 'highLoad')) harvestWithin(READ_EVERY_MS / 2);
      let look: Look | undefined;
      inStep(() => {
        look = this.#triggers.look(this.#read(), monotonicMs());
        // Of requests there may be many, and no rule remembers those of before.
        return { ...look, readings: { ...look.readings, requests: [], signals: [] } };
      });
      this.tell();
      if (!look) return;
      this.#log(look, 'taking a snapshot');
      const [first, ...others] = look.verdict.fired;
      if (first) onFired([first, ...others]);
    } catch (error) {
      logger.error({ err: error }, `loopprof: the triggers could not be looked at: ${messageOf(error)}`);
    }
  }

  #log({ verdict: { fired, heldBack } }: Look, what: string): void {
    const { logger } = this.#options;
    for (const held of heldBack) logger.info({ trigger: held }, `loopprof: ${heldBackText(held)}`);
    for (const firing of fired) logger.info({ trigger: firing }, `loopprof: ${firedText(firing)}: ${what}`);
  }

  #read(): Readings {
    const nowMs = performance.now();
    const signals = this.#received;
    this.#received = [];
    return {
      ...this.vitals(),
      stalls: this.#stalls(),
      memoryLimitBytes: memoryLimitBytes(),
      heapLimitBytes: this.#heapLimitBytes,
      requests: this.#windows.flatMap((window) => {
        const routes = window.take(nowMs);
        return routes ? [{ overMs: window.overMs, routes }] : [];
      }),
      signals,
    };
  }

  /** Those that have become known since the last look. */
  #stalls(): StallReading[] {
    const { count, last } = this.#options.stalls();
    const unseen = last.slice(0, count - this.#stallsSeen);
    this.#stallsSeen = count;
    const toMonotonicMs = monotonicMs() - Date.now();
    return unseen
      .map(({ startedMs, durationMs, method, route }) => ({
        startedMs: startedMs + toMonotonicMs,
        durationMs,
        method,
        route,
      }))
      .filter(({ startedMs }) => startedMs >= this.#beganMs);
  }
}

function firedText({ on, values, heldBackBefore }: Firing): string {
  const held = heldBackBefore > 0 ? `, after it was held back ${heldBackBefore} times` : '';
  return `trigger ${on} fired (${valuesText(values)})${held}`;
}

function heldBackText({ on, values, because, forMs }: HeldBack): string {
  const reason = because === 'cooldown' ? 'its cooldownMs is not over' : 'its maxPerHour is used up';
  return `trigger ${on} holds (${valuesText(values)}) but takes no snapshot for ${Math.ceil(forMs / 1000)} s: ${reason}`;
}

function valuesText(values: Firing['values']): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} ${typeof value === 'number' ? Number(value.toPrecision(4)) : value}`)
    .join(', ');
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
