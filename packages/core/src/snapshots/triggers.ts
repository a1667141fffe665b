/**
 * The rules of `triggers` as a state machine: readings in, what fired out. It knows no clock and no process, so it can stand in any
 * thread, and in two at once that follow each other.
 */
import type { TriggerKind, WatchedRule } from '../trigger-rules.js';
import { conditionOf, type Condition, type TriggerValues } from './conditions.js';
import type { Readings } from './readings.js';

/** A rule that fired, and the values it fired at. */
export interface Firing {
  readonly on: TriggerKind;
  /** What was measured, and the limit it was measured against. */
  readonly values: TriggerValues;
  /** How often the rule would have fired since it last did, had it been allowed to. */
  readonly heldBackBefore: number;
}

/** A rule whose condition holds and which may not fire; told once, until it may again. */
export interface HeldBack {
  readonly on: TriggerKind;
  readonly values: TriggerValues;
  readonly because: 'cooldown' | 'budget';
  readonly forMs: number;
}

export interface Verdict {
  readonly fired: readonly Firing[];
  readonly heldBack: readonly HeldBack[];
}

/** How much of what a rule may do it has done. */
export interface Spent {
  /** Times of the last hour. */
  readonly firedAtMs: readonly number[];
  readonly heldBack: number;
  /** Whether it has been told that the rule is held back. */
  readonly told: boolean;
}

/** One look at the rules; plain data, so that another thread can be told of it. */
export interface Look {
  readonly readings: Readings;
  readonly nowMs: number;
  readonly verdict: Verdict;
  /** After it, of each rule. */
  readonly spent: readonly Spent[];
}

const HOUR_MS = 3_600_000;

interface WatchState {
  readonly rule: WatchedRule;
  readonly condition: Condition;
  readonly cooldownMs: number;
  readonly maxPerHour: number;
  spent: Spent;
}

export class Triggers {
  readonly #states: readonly WatchState[];

  constructor(rules: readonly WatchedRule[]) {
    this.#states = rules.map((rule) => ({
      rule,
      condition: conditionOf(rule),
      cooldownMs: rule.cooldownMs ?? DEFAULT_COOLDOWN_MS[rule.on] ?? 300_000,
      maxPerHour: rule.maxPerHour ?? DEFAULT_MAX_PER_HOUR[rule.on] ?? 6,
      spent: { firedAtMs: [], heldBack: 0, told: false },
    }));
  }

  /** Takes in what was read. `nowMs` is of any clock that never goes back. */
  evaluate(readings: Readings, nowMs: number): Verdict {
    const fired: Firing[] = [];
    const heldBack: HeldBack[] = [];
    for (const state of this.#states) {
      const hold = holdOf(state, nowMs);
      const values = state.condition(readings, nowMs, hold !== undefined);
      if (!values) continue;
      const { spent } = state;
      const { on } = state.rule;
      if (!hold) {
        fired.push({ on, values, heldBackBefore: spent.heldBack });
        const firedAtMs = [...spent.firedAtMs.filter((atMs) => atMs > nowMs - HOUR_MS), nowMs];
        state.spent = { firedAtMs, heldBack: 0, told: false };
        continue;
      }
      if (!spent.told) heldBack.push({ on, values, ...hold });
      state.spent = { ...spent, heldBack: spent.heldBack + 1, told: true };
    }
    return { fired, heldBack };
  }

  /** The same, with what another thread must be told to go on from there. */
  look(readings: Readings, nowMs: number): Look {
    const verdict = this.evaluate(readings, nowMs);
    return { readings, nowMs, verdict, spent: this.#states.map(({ spent }) => spent) };
  }

  /** Goes on from a look that another thread has had at the same rules. */
  follow({ readings, nowMs, spent }: Look): void {
    this.evaluate(readings, nowMs);
    this.#states.forEach((state, index) => (state.spent = spent[index] ?? state.spent));
  }
}

const DEFAULT_COOLDOWN_MS: Partial<Record<TriggerKind, number>> = { signal: 10_000, interval: 0 };
const DEFAULT_MAX_PER_HOUR: Partial<Record<TriggerKind, number>> = { signal: 60, interval: 60 };

/** Why a rule may not fire now, and for how long. */
function holdOf(
  { spent, cooldownMs, maxPerHour }: WatchState,
  nowMs: number,
): Pick<HeldBack, 'because' | 'forMs'> | undefined {
  const firedAtMs = spent.firedAtMs.filter((atMs) => atMs > nowMs - HOUR_MS);
  if (firedAtMs.length >= maxPerHour)
    return { because: 'budget', forMs: (firedAtMs[0] as number) + HOUR_MS - nowMs };
  const last = firedAtMs.at(-1);
  if (last !== undefined && nowMs < last + cooldownMs)
    return { because: 'cooldown', forMs: last + cooldownMs - nowMs };
  return undefined;
}
