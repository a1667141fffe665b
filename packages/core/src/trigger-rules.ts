/** The rules by which a profiler takes a snapshot by itself, as they are written in the configuration. */

/** How often a rule may fire, however often its condition holds. */
export interface TriggerLimits {
  /**
   * After a snapshot, this rule takes none for so long. 0 to 86 400 000.
   * @default 300_000; 10_000 for `signal`; 0 for `interval`
   */
  cooldownMs?: number | undefined;
  /**
   * Snapshots of this rule in any hour. 1 to 3 600.
   * @default 6; 60 for `signal` and `interval`
   */
  maxPerHour?: number | undefined;
}

/** The event loop was, or still is, held up for longer than this. */
export interface StallTrigger extends TriggerLimits {
  on: 'stall';
  /** 10 to 3 600 000. */
  longerThanMs: number;
}

/** The event loop is busy for more than this share of the time, over a stretch of time. */
export interface HighLoadTrigger extends TriggerLimits {
  on: 'highLoad';
  /** Event-loop utilisation, above 0 and below 1. */
  utilizationAbove: number;
  /**
   * 0 to 3 600 000.
   * @default 10_000
   */
  forMs?: number | undefined;
}

/** The process's resident memory against what it may use: the cgroup's limit, else the machine's memory. */
export interface RssTrigger extends TriggerLimits {
  on: 'rss';
  /** Above 0 and below 1. */
  shareAbove: number;
}

/** The old generation of V8's heap, where objects that live on are, against its limit (`--max-old-space-size`). */
export interface HeapTrigger extends TriggerLimits {
  on: 'heap';
  /** Above 0 and below 1. V8 gives up from 0.8 on when one collection after the other comes to nothing, and any process near 1. */
  shareAbove: number;
}

/**
 * The V8 heap against its own moving average. Compared is what garbage collections have left, in the old generation; growth is what
 * two of them find, a twentieth of `overMs` or a second apart. Nothing fires before the first `overMs` are over.
 */
export interface HeapGrowthTrigger extends TriggerLimits {
  on: 'heapGrowth';
  /** Above 1, up to 100. */
  timesAverageAbove: number;
  /**
   * 1 000 to 3 600 000.
   * @default 600_000
   */
  overMs?: number | undefined;
  /**
   * Growth by less than this is none. 0 to 1 099 511 627 776.
   * @default 33_554_432
   */
  minBytes?: number | undefined;
}

/** Which requests a rule looks at. */
export interface RequestTriggerScope {
  /** Template such as `/users/:id`; without it each route is looked at. */
  route?: string | undefined;
  method?: string | undefined;
  /**
   * Requests are looked at in stretches of this length. 1 000 to 3 600 000.
   * @default 30_000
   */
  overMs?: number | undefined;
  /**
   * A stretch with fewer requests of a route says nothing about it. 1 to 1 000 000.
   * @default 50
   */
  minRequests?: number | undefined;
}

/** One in a hundred requests of a route took longer than this. */
export interface LatencyTrigger extends TriggerLimits, RequestTriggerScope {
  on: 'latency';
  /** 1 to 3 600 000. */
  p99AboveMs: number;
}

/** A share of the requests of a route was answered with a 5xx status. */
export interface ErrorsTrigger extends TriggerLimits, RequestTriggerScope {
  on: 'errors';
  /** Above 0 and below 1. */
  shareAbove: number;
}

/** Every so often. */
export interface IntervalTrigger extends TriggerLimits {
  on: 'interval';
  /** 1 000 to 604 800 000. */
  everyMs: number;
}

/** The process was sent a signal. Listening to it takes away what the signal does by default: to end the process. */
export interface SignalTrigger extends TriggerLimits {
  on: 'signal';
  signal: 'SIGUSR2';
}

/**
 * The V8 heap is exhausted: its profile is written before the process dies. The best that can be done then, by a process started
 * at that moment; a `heap` rule fires while there is still time.
 */
export interface OutOfMemoryTrigger {
  on: 'outOfMemory';
}

/** When to take a snapshot without being asked. */
export type TriggerRule =
  | StallTrigger
  | HighLoadTrigger
  | RssTrigger
  | HeapTrigger
  | HeapGrowthTrigger
  | LatencyTrigger
  | ErrorsTrigger
  | IntervalTrigger
  | SignalTrigger
  | OutOfMemoryTrigger;

/** A rule that is looked at again and again. */
export type WatchedRule = Exclude<TriggerRule, OutOfMemoryTrigger>;

/** All but those that are not. */
export function watchedRules(rules: readonly TriggerRule[]): WatchedRule[] {
  return rules.filter((rule) => rule.on !== 'outOfMemory');
}

export type TriggerKind = TriggerRule['on'];

/** Default of `overMs` of the rules that look at requests. */
export const REQUESTS_OVER_MS = 30_000;

/** A value that a field may have, and its words. */
interface FieldRule {
  readonly text: string;
  readonly meets: (value: unknown) => boolean;
}

const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);

const integer = (min: number, max: number): FieldRule => ({
  text: `an integer from ${min} to ${max}`,
  meets: (value) => Number.isInteger(value) && (value as number) >= min && (value as number) <= max,
});

const SHARE: FieldRule = {
  text: 'a number above 0 and below 1',
  meets: (value) => isNumber(value) && value > 0 && value < 1,
};

const NAME: FieldRule = {
  text: 'a string that is not empty',
  meets: (value) => typeof value === 'string' && value !== '',
};

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const FIELDS: Readonly<Record<string, FieldRule>> = {
  cooldownMs: integer(0, DAY_MS),
  maxPerHour: integer(1, 3600),
  longerThanMs: integer(10, HOUR_MS),
  utilizationAbove: SHARE,
  forMs: integer(0, HOUR_MS),
  shareAbove: SHARE,
  timesAverageAbove: {
    text: 'a number above 1, up to 100',
    meets: (value) => isNumber(value) && value > 1 && value <= 100,
  },
  overMs: integer(1000, HOUR_MS),
  minBytes: integer(0, 2 ** 40),
  p99AboveMs: integer(1, HOUR_MS),
  minRequests: integer(1, 1_000_000),
  route: NAME,
  method: NAME,
  everyMs: integer(1000, 7 * DAY_MS),
  signal: { text: "'SIGUSR2'", meets: (value) => value === 'SIGUSR2' },
};

const REQUESTS = ['route', 'method', 'overMs', 'minRequests'];
const LIMITS = ['cooldownMs', 'maxPerHour'];

/** Which fields a kind of rule has: those it must have, and those it may have. */
const KINDS: Readonly<Record<TriggerKind, { required: readonly string[]; optional: readonly string[] }>> = {
  stall: { required: ['longerThanMs'], optional: LIMITS },
  highLoad: { required: ['utilizationAbove'], optional: ['forMs', ...LIMITS] },
  rss: { required: ['shareAbove'], optional: LIMITS },
  heap: { required: ['shareAbove'], optional: LIMITS },
  heapGrowth: { required: ['timesAverageAbove'], optional: ['overMs', 'minBytes', ...LIMITS] },
  latency: { required: ['p99AboveMs'], optional: [...REQUESTS, ...LIMITS] },
  errors: { required: ['shareAbove'], optional: [...REQUESTS, ...LIMITS] },
  interval: { required: ['everyMs'], optional: LIMITS },
  signal: { required: ['signal'], optional: LIMITS },
  outOfMemory: { required: [], optional: [] },
};

/** Kinds of rules, for messages and tables. */
export const TRIGGER_KINDS = Object.keys(KINDS) as readonly TriggerKind[];

/** More rules than this are a mistake. */
const MAX_RULES = 100;

/** What is wrong with a list of rules, as the second half of a sentence; undefined when nothing is. */
export function problemOfTriggers(value: unknown): string | undefined {
  if (!Array.isArray(value) || value.length > MAX_RULES) return `got ${shown(value)}`;
  for (const [index, rule] of value.entries()) {
    const problem = problemOfRule(rule);
    if (problem !== undefined) return `number ${index + 1} ${problem}`;
  }
  return undefined;
}

function problemOfRule(rule: unknown): string | undefined {
  if (typeof rule !== 'object' || rule === null) return `is ${shown(rule)}`;
  const { on, ...fields } = rule as Record<string, unknown>;
  const kind = Object.hasOwn(KINDS, String(on)) ? KINDS[on as TriggerKind] : undefined;
  if (!kind)
    return `has \`on\` ${shown(on)}, not one of ${TRIGGER_KINDS.map((name) => `'${name}'`).join(', ')}`;
  const known = [...kind.required, ...kind.optional];
  for (const [name, value] of Object.entries(fields)) {
    if (!known.includes(name))
      return `(${String(on)}) has an unknown field \`${name}\`; fields are: ${['on', ...known].join(', ')}`;
    const { text, meets } = FIELDS[name] as FieldRule;
    if (value === undefined ? kind.required.includes(name) : !meets(value))
      return `(${String(on)}) has \`${name}\` ${shown(value)}, which must be ${text}`;
  }
  const missing = kind.required.find((name) => !(name in fields));
  return missing === undefined
    ? undefined
    : `(${String(on)}) lacks \`${missing}\`: ${(FIELDS[missing] as FieldRule).text}`;
}

function shown(value: unknown): string {
  if (typeof value === 'string') return `'${value}' (string)`;
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return typeof value === 'object' && value !== null ? 'an object' : `${String(value)} (${typeof value})`;
}
