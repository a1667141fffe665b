/**
 * The rules of `triggers` as a state machine: readings in, what fired out. It knows no clock and no process, so it can stand in any
 * thread.
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

const HOUR_MS = 3_600_000;

interface WatchState {
  readonly rule: WatchedRule;
  readonly condition: Condition;
  readonly cooldownMs: number;
  readonly maxPerHour: number;
  /** Those of the last hour. */
  firedAtMs: number[];
  heldBack: number;
  /** Whether it has been told that the rule is held back. */
  told: boolean;
}

export class Triggers {
  readonly #states: readonly WatchState[];

  constructor(rules: readonly WatchedRule[]) {
    this.#states = rules.map((rule) => ({
      rule,
      condition: conditionOf(rule),
      cooldownMs: rule.cooldownMs ?? DEFAULT_COOLDOWN_MS[rule.on] ?? 300_000,
      maxPerHour: rule.maxPerHour ?? DEFAULT_MAX_PER_HOUR[rule.on] ?? 6,
      firedAtMs: [],
      heldBack: 0,
      told: false,
    }));
  }

  /** Takes in what was read. `nowMs` is of any clock that never goes back. */
  evaluate(readings: Readings, nowMs: number): Verdict {
    const fired: Firing[] = [];
    const heldBack: HeldBack[] = [];
    for (const state of this.#states) {
      const values = state.condition(readings, nowMs);
      if (!values) continue;
      const { on } = state.rule;
      const hold = holdOf(state, nowMs);
      if (!hold) {
        fired.push({ on, values, heldBackBefore: state.heldBack });
        state.firedAtMs.push(nowMs);
        state.heldBack = 0;
        state.told = false;
        continue;
      }
      state.heldBack += 1;
      if (!state.told) heldBack.push({ on, values, ...hold });
      state.told = true;
    }
    return { fired, heldBack };
  }
}

const DEFAULT_COOLDOWN_MS: Partial<Record<TriggerKind, number>> = { signal: 10_000, interval: 0 };
const DEFAULT_MAX_PER_HOUR: Partial<Record<TriggerKind, number>> = { signal: 60, interval: 60 };

/** Why a rule may not fire now, and for how long. */
function holdOf(state: WatchState, nowMs: number): Pick<HeldBack, 'because' | 'forMs'> | undefined {
  state.firedAtMs = state.firedAtMs.filter((atMs) => atMs > nowMs - HOUR_MS);
  const { firedAtMs, cooldownMs, maxPerHour } = state;
  if (firedAtMs.length >= maxPerHour)
    return { because: 'budget', forMs: (firedAtMs[0] as number) + HOUR_MS - nowMs };
  const last = firedAtMs.at(-1);
  if (last !== undefined && nowMs < last + cooldownMs)
    return { because: 'cooldown', forMs: last + cooldownMs - nowMs };
  return undefined;
}
