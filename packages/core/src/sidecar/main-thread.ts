/** The sidecar's side of the main thread: asks it over the line, and through the door when its event loop does not turn. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isPausedByDebugger, knockOnMainThread } from '../engine/main-thread-door.js';
import { isLoopprofError, LoopprofError } from '../errors.js';
import { aborted, loopBlocked, type Line } from './line.js';
import { DRAIN, type MainQuestions, type Reading, type Readings } from './protocol.js';
import { monotonicMs, type Pulse } from './pulse.js';

/** A loop that has not turned for this long is knocked at; one that turns has its beat every 20 ms. */
const LATE_MS = 60;

/** How long the line alone may take before we knock. */
const PATIENCE_MS = 25;

/** A knock that has not been taken in waits behind native code, and is taken in after it; that it got lost is a mere precaution. */
const KNOCK_LOST_MS = 10_000;

/** A loop that has turned within that time will come to what it was asked. */
const TURNS_MS = 1000;

/**
 * A main thread that has been entered answers what is read there at once: the answer may be on its way for as long again, within these
 * bounds.
 */
const SHORTEST_WAY_MS = 100;
const LONGEST_WAY_MS = 1000;

const NEEDS_TURNS =
  'The event loop is blocked, and what is asked for takes turns of it. Ask again when it returns.';

const KNOCK = `globalThis[Symbol.for(${JSON.stringify(DRAIN)})]?.()`;

/**
 * Questions that whoever asks may share an answer to, because it is read when it is given. However many ask, and for however long
 * nothing gets in, the main thread has each to answer once.
 */
const READINGS: Record<keyof Readings, true> = {
  harvest: true,
  heap: true,
  document: true,
  facts: true,
  stack: true,
  stalls: true,
  blocks: true,
  vitals: true,
};

type Asked<Name extends keyof MainQuestions> = Name extends keyof Readings
  ? Readings[Name]['value']
  : MainQuestions[Name]['answer'];

/**
 * How the main thread does not answer: blocked in JavaScript it lets us in, in native code it does not. Where the door is closed
 * nobody knows.
 */
export type BlockedKind = 'javascript' | 'native' | 'unknown';

interface Patience {
  readonly deadlineMs: number;
  /** What takes the main thread several turns: it gets more time as long as its event loop turns. */
  readonly inTurns?: boolean;
  readonly signal?: AbortSignal | undefined;
}

export class MainThread {
  readonly #line: Line;
  readonly #pulse: Pulse;
  readonly #readings = new Map<string, Promise<Reading>>();
  readonly #doorClosedBecause: string | undefined;
  #pausedByDebugger: { readonly askedAtMs: number; readonly answer: Promise<boolean> } | undefined;
  #waiting = 0;
  #watching = false;
  #knocking = false;
  #knockedAtMs = -Infinity;
  #entriesAtKnock: number | undefined;
  #letInAtMs = -Infinity;
  #refusedAtMs = -Infinity;

  constructor({ line, pulse }: { line: Line; pulse: Pulse }, doorClosedBecause: string | undefined) {
    this.#line = line;
    this.#pulse = pulse;
    this.#doorClosedBecause = doorClosedBecause;
  }

  /** Whether a debugger has stopped it. Asked once while the event loop does not turn: it takes a tenth of a second in there. */
  async isPausedByDebugger(): Promise<boolean> {
    if (this.#doorClosedBecause !== undefined) return false;
    const nowMs = performance.now();
    const last = this.#pausedByDebugger;
    if (last && this.#pulse.sinceBeatMs > nowMs - last.askedAtMs) return last.answer;
    const answer = isPausedByDebugger().then((isPaused) => {
      if (isPaused) this.#pulse.pause();
      return isPaused;
    });
    this.#pausedByDebugger = { askedAtMs: nowMs, answer };
    return answer;
  }

  /** How it is blocked, as far as the last knocks tell; undefined while its event loop turns. */
  get blocked(): BlockedKind | undefined {
    if (!this.late) return undefined;
    if (this.#doorClosedBecause !== undefined) return 'unknown';
    return this.#refusedAtMs > this.#letInAtMs ? 'native' : 'javascript';
  }

  get late(): boolean {
    return this.#pulse.sinceBeatMs > LATE_MS;
  }

  /** Asks the main thread. Rejects with LOOPPROF_LOOP_BLOCKED when there is no answer within `deadlineMs`. */
  async ask<Name extends keyof MainQuestions>(
    name: Name,
    args: MainQuestions[Name]['args'],
    patience: Patience,
  ): Promise<Asked<Name>> {
    this.#waiting += 1;
    const { entries } = this.#pulse;
    const isEntered = (): boolean => this.#pulse.entries !== entries;
    const isReading = Object.hasOwn(READINGS, name);
    try {
      const { deadlineMs: timeoutMs, inTurns, signal } = patience;
      const isAtIt = (): boolean => inTurns === true && this.#pulse.sinceBeatMs < TURNS_MS;
      const answer = isReading
        ? within(this.#read(name, args), patience, isEntered)
        : this.#line.ask(name, args, { timeoutMs, signal, isAtIt });
      if (this.late) void this.#knock();
      void this.#watch();
      const value = (await answer) as Asked<Name>;
      this.#letInAtMs = performance.now();
      return value;
    } catch (error) {
      if (!isLoopprofError(error) || error.code !== 'LOOPPROF_LOOP_BLOCKED') throw error;
      if (isEntered()) {
        // It has heard of it, and is at it, or does it in a turn to come.
        this.#letInAtMs = performance.now();
        throw isReading ? error : new LoopprofError(error.code, NEEDS_TURNS);
      }
      this.#refusedAtMs = performance.now();
      throw loopBlocked(this.#doorClosedBecause);
    } finally {
      this.#waiting -= 1;
    }
  }

  async #read(name: string, args: unknown): Promise<unknown> {
    const askedAtMs = monotonicMs();
    const key = `${name} ${JSON.stringify(args)}`;
    for (;;) {
      let reading = this.#readings.get(key);
      if (!reading) {
        reading = this.#line.ask(name, args).finally(() => this.#readings.delete(key)) as Promise<Reading>;
        this.#readings.set(key, reading);
      }
      const { readAtMs, value } = await reading;
      // One that was on its way here already tells nothing of now.
      if (readAtMs >= askedAtMs) return value;
    }
  }

  async #watch(): Promise<void> {
    if (this.#watching) return;
    this.#watching = true;
    try {
      while (this.#waiting > 0) {
        await sleep(PATIENCE_MS);
        if (this.#waiting > 0 && this.late) await this.#knock();
      }
    } finally {
      this.#watching = false;
    }
  }

  /** One knock is enough for all who wait, until it is taken in: what nobody lets in is done in full when native code ends. */
  async #knock(): Promise<void> {
    const { entries } = this.#pulse;
    const underWay =
      entries === this.#entriesAtKnock && performance.now() - this.#knockedAtMs < KNOCK_LOST_MS;
    if (this.#knocking || underWay || this.#doorClosedBecause !== undefined) return;
    this.#knocking = true;
    this.#entriesAtKnock = entries;
    this.#knockedAtMs = performance.now();
    try {
      await knockOnMainThread(KNOCK);
    } finally {
      this.#knocking = false;
    }
  }
}

function tooSlow(): LoopprofError {
  return new LoopprofError(
    'LOOPPROF_LOOP_BLOCKED',
    'The event loop is blocked, and reading what is asked for takes long inside of what blocks it. Ask again.',
  );
}

/** Waits for an answer that others may wait for too, and once more for one that may be on its way. */
function within<T>(
  answer: Promise<T>,
  { deadlineMs, signal }: Patience,
  isOnItsWay: () => boolean,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => settle(() => reject(aborted()));
    const giveUp = (error: LoopprofError): void => settle(() => reject(error));
    const wayMs = Math.min(LONGEST_WAY_MS, Math.max(SHORTEST_WAY_MS, deadlineMs));
    let timer = setTimeout(() => {
      if (isOnItsWay()) timer = setTimeout(giveUp, wayMs, tooSlow());
      else giveUp(loopBlocked());
    }, deadlineMs);
    const settle = (how: () => void): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      how();
    };
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
    answer.then(
      (value) => settle(() => resolve(value)),
      (error: Error) => settle(() => reject(error)),
    );
  });
}
