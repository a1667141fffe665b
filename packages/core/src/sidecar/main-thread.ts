/** The sidecar's side of the main thread: asks it over the line, and through the door when its event loop does not turn. */
import { setTimeout as sleep } from 'node:timers/promises';
import { knockOnMainThread } from '../engine/main-thread-door.js';
import type { Line } from './line.js';
import { DRAIN, type MainQuestions } from './protocol.js';
import type { Pulse } from './pulse.js';

/** A loop that has not turned for this long is knocked at; one that turns has its beat every 20 ms. */
const LATE_MS = 60;

/** How long the line alone may take before we knock. */
const PATIENCE_MS = 25;

/** Between two knocks: the one before was let in while the main thread could not be disturbed. */
const KNOCK_AGAIN_MS = 100;

/** A loop that has turned within that time will come to what it was asked. */
const TURNS_MS = 1000;

const KNOCK = `globalThis[Symbol.for(${JSON.stringify(DRAIN)})]?.()`;

/** How the main thread does not answer: blocked in JavaScript it lets us in, in native code it does not. */
export type BlockedKind = 'javascript' | 'native';

export interface MainAskOptions {
  readonly deadlineMs: number;
  /** What takes the main thread several turns: it gets more time as long as its event loop turns. */
  readonly inTurns?: boolean;
  readonly signal?: AbortSignal | undefined;
}

export class MainThread {
  readonly #line: Line;
  readonly #pulse: Pulse;
  #waiting = 0;
  #knocking = false;
  #letInAtMs = -Infinity;
  #refusedAtMs = -Infinity;

  constructor(line: Line, pulse: Pulse) {
    this.#line = line;
    this.#pulse = pulse;
  }

  /** How it is blocked, as far as the last knocks tell; undefined while its event loop turns. */
  get blocked(): BlockedKind | undefined {
    if (!this.late) return undefined;
    return this.#refusedAtMs > this.#letInAtMs ? 'native' : 'javascript';
  }

  get late(): boolean {
    return this.#pulse.sinceBeatMs > LATE_MS;
  }

  /** Asks the main thread. Rejects with LOOPPROF_LOOP_BLOCKED when there is no answer within `deadlineMs`. */
  async ask<Name extends keyof MainQuestions>(
    name: Name,
    args: MainQuestions[Name]['args'],
    { deadlineMs, inTurns, signal }: MainAskOptions,
  ): Promise<MainQuestions[Name]['answer']> {
    const askedAtMs = performance.now();
    this.#waiting += 1;
    try {
      const isAtIt = (): boolean => inTurns === true && this.#pulse.sinceBeatMs < TURNS_MS;
      const answer = this.#line.ask(name, args, { signal, timeoutMs: deadlineMs, isAtIt });
      void this.#knockUntilAnswered();
      const value = (await answer) as MainQuestions[Name]['answer'];
      this.#letInAtMs = performance.now();
      return value;
    } catch (error) {
      if (performance.now() - askedAtMs >= deadlineMs) this.#refusedAtMs = performance.now();
      throw error;
    } finally {
      this.#waiting -= 1;
    }
  }

  /** One who knocks is enough for all who wait. */
  async #knockUntilAnswered(): Promise<void> {
    if (this.#knocking) return;
    this.#knocking = true;
    try {
      if (!this.late) await sleep(PATIENCE_MS);
      while (this.#waiting > 0) {
        if (this.late) await knockOnMainThread(KNOCK);
        if (this.#waiting > 0) await sleep(this.late ? KNOCK_AGAIN_MS : PATIENCE_MS);
      }
    } finally {
      this.#knocking = false;
    }
  }
}
