import { ENGINE_NAMES, type EngineName } from './engine/engine-name.js';
import { LoopprofError } from './errors.js';
import { problemOfTriggers, type TriggerRule } from './trigger-rules.js';

/** What `authorize` is told about a request. */
export interface AccessRequest {
  readonly method: string;
  /** Path and query as the client sent them. */
  readonly url: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** The socket's, never a header's. */
  readonly remoteAddress: string | undefined;
}

/**
 * Who may read profiles.
 *
 * - `'loopback'`: requests that provably come from this machine, and not from another site's page.
 * - `{ token }`: `Authorization: Bearer <token>`, or Basic with the token as password, at least 16 characters.
 * - `{ authorize }`: your own check; a throw, a rejection or anything but `true` refuses.
 * - `'public'`: everybody. Profiles show file names, function names and traffic.
 */
export type Access =
  | 'loopback'
  | 'public'
  | { readonly token: string }
  | { readonly authorize: (request: AccessRequest) => boolean | Promise<boolean> };

/** What of the snapshots in `profileDir` is kept; the oldest go first. */
export interface SnapshotLimits {
  /**
   * 1 to 100 000.
   * @default 100
   */
  maxCount: number;
  /**
   * 1 048 576 to 1 099 511 627 776.
   * @default 536_870_912
   */
  maxBytes: number;
  /**
   * 60 000 to 31 536 000 000, a year.
   * @default 604_800_000, 7 days
   */
  maxAgeMs: number;
}

/** What shows more of the process than names of functions and files, and is served only when it is named. */
export interface Sensitive {
  /** `/cmdline`: the command line, without the values of arguments that look like secrets. */
  readonly cmdline?: boolean;
  /** `/trace`: when which route was requested, and what ran. */
  readonly trace?: boolean;
}

export type SensitiveField = keyof Sensitive;

/** ProfilerConfig says what is recorded, for how long it is kept, and who may read it. */
export interface ProfilerConfig {
  /**
   * Serve the CPU profile. Off: its route answers 404 and names this field, and nothing is sampled.
   * @default true
   */
  enableCPU: boolean;
  /**
   * Serve the heap profile. Off: its route answers 404 and names this field, and nothing is sampled.
   * @default true
   */
  enableMemory: boolean;
  /**
   * Serve the block profile. Off: its route answers 404 and names this field, and the time of stalls is not added up by stack. The
   * stalls themselves are still told of, by `/stalls`, the log, the event `stall` and the diagnostics channel.
   * @default true
   */
  enableBlock: boolean;
  /**
   * Serve the mutex profile. Off: its route answers 404 and names this field, and no wait is recorded.
   * @default true
   */
  enableMutex: boolean;
  /**
   * Serve what is pending: `goroutine`, `goroutineleak`, `threadcreate`. Off: their routes answer 404 and name this field.
   * @default true
   */
  enableGoroutine: boolean;
  /**
   * Run the standalone server on `httpAddr`.
   * @default true for `new Profiler()`; for the profiler that adapters share, only when `httpAddr` is given
   */
  enableHTTP: boolean;
  /**
   * `host:port` of the standalone server; `:6060` means every interface, port 0 any free port. Or `unix:/path/to.sock`: a Unix
   * domain socket that only this user may open. What other machines can reach needs `access` to be a token, a hook or public.
   * @default 'localhost:6060'
   */
  httpAddr: string;
  /**
   * Directory of snapshots and of the files that `stop()` writes, relative to the working directory at `start()`. Created, for
   * this user alone, when the first file is written. One that cannot be written to is refused by `start()` if it is named here.
   * @default './profiles'
   */
  profileDir: string;
  /**
   * Whether `stop()` writes `cpu.prof`, `mem.prof` and the other profiles into `profileDir`.
   * @default true for `new Profiler()`; for the profiler that adapters share, only when `profileDir` is given
   */
  writeOnStop: boolean;
  /** How much of the snapshots is kept; a limit that is left out has its default. */
  snapshots: Partial<SnapshotLimits>;
  /**
   * Rules that take a snapshot by themselves. All but those that look at requests or signals do so also while the event loop is
   * blocked, if there is a `sidecar`: once a second, with what can be had meanwhile.
   * @default []
   */
  triggers: readonly TriggerRule[];
  /**
   * Length of a CPU profile that is asked for without `seconds`, and at most of that in a snapshot. Minimum 1 000.
   * @default 30_000
   */
  profileDurationMs: number;
  /**
   * Time between two looks at the main thread. 1 000 to 1 000 000; 10 000 is 100 Hz, as in Go.
   * @default 10_000
   */
  cpuSampleIntervalMicros: number;
  /**
   * Mean number of allocated bytes between two heap samples. 1 024 to 1 073 741 824.
   * @default 524_288
   */
  memorySampleBytes: number;
  /**
   * One stall is recorded per this many nanoseconds of blocked event loop, on average, as Go's `SetBlockProfileRate`: 1 is every
   * stall, 0 none. 0 to 1 000 000 000 000.
   * @default 1
   */
  blockProfileRate: number;
  /**
   * One wait in this many is recorded, as Go's `SetMutexProfileFraction`: 1 is every wait, 0 none. 0 to 1 000 000.
   * @default 1
   */
  mutexProfileFraction: number;
  /**
   * One asynchronous operation in this many has its creation stack recorded all the time, which costs something on each; 0: only
   * while somebody captures with `seconds`. 0 to 1 000 000.
   * @default 0
   */
  asyncSampleRate: number;
  /**
   * An operation that is pending for longer counts as leaked. 1 000 to 86 400 000.
   * @default 60_000
   */
  leakAgeMs: number;
  /**
   * Count all allocations from the start on, live or not, as Go does: `alloc_objects` and `alloc_space` of `/allocs` and `/heap`.
   * Node 26 and later; what is live is then counted anew after every 100 000 samples. Off: it is counted from the start.
   * @default true
   */
  allocTotals: boolean;
  /**
   * Let `/allocs?seconds=N` use V8's one heap sampler to count all allocations of the window, where they are not counted all
   * the time. What is live is counted anew after each window.
   * @default false
   */
  allocWindows: boolean;
  /**
   * What does the sampling: `datadog` (thread CPU, labels) or `inspector` (neither, and no addon). `auto` takes `datadog` where it
   * loads and no other profiler is in this process.
   * @default 'auto'
   */
  engine: EngineName;
  /**
   * Whether CPU samples carry `route`, `method` and what `withLabels()` adds. `auto`: always where that costs almost nothing
   * (Node 24 and later), elsewhere while somebody captures.
   * @default 'auto'
   */
  labels: boolean | 'auto';
  /**
   * Who may read. Unless it is written out, routes mounted in the app are closed when `NODE_ENV` is `production`, since a proxy
   * on the same host cannot be told from a local client.
   * @default 'loopback'
   */
  access: Access;
  /**
   * How far back the recorder reaches. 1 000 to 3 600 000; also bounded in bytes.
   * @default 300_000
   */
  windowMs: number;
  /**
   * Largest `seconds` that a request may ask for. 1 to 3 600.
   * @default 300
   */
  maxSeconds: number;
  /**
   * Request series (method, route, status class) kept apart; the rest is counted as `(other)`. 1 to 100 000.
   * @default 1_000
   */
  maxSeries: number;
  /**
   * A request that takes this long or longer is a `slowRequest` event. 1 to 3 600 000.
   * @default 1_000
   */
  slowRequestMs: number;
  /**
   * Add a `Server-Timing` header to responses: time to the head, event loop blocked, garbage collection.
   * @default false
   */
  serverTiming: boolean;
  /**
   * Make paths in profiles relative to the working directory, and those elsewhere to `node_modules` or to nothing.
   * @default false
   */
  trimPaths: boolean;
  /**
   * Run the sidecar: a worker thread that watches the event loop, answers while it is blocked, makes profiles off the main
   * thread, and serves the standalone address.
   * @default true
   */
  sidecar: boolean;
  /**
   * A callback that holds the event loop for this long or longer is a stall. 20 to 3 600 000.
   * @default 50
   */
  stallThresholdMs: number;
  /**
   * A stall that has lasted this long is reported while it lasts: a file in `profileDir` and a line on stderr. 100 to 3 600 000.
   * @default 1_000
   */
  hangThresholdMs: number;
  /**
   * What is served only when it is named here.
   * @default { cmdline: false, trace: false }
   */
  sensitive: Sensitive;
}

/** A configuration with every field, and what was written out by the user, which some defaults depend on. */
export interface ResolvedConfig extends ProfilerConfig {
  readonly given: ReadonlySet<keyof ProfilerConfig>;
  snapshots: SnapshotLimits;
}

const SNAPSHOT_LIMITS: Readonly<SnapshotLimits> = {
  maxCount: 100,
  maxBytes: 512 * 1024 * 1024,
  maxAgeMs: 7 * 24 * 3_600_000,
};

/** The defaults, as a fresh object. */
export function defaultProfilerConfig(): ProfilerConfig {
  return {
    enableCPU: true,
    enableMemory: true,
    enableBlock: true,
    enableMutex: true,
    enableGoroutine: true,
    enableHTTP: true,
    httpAddr: 'localhost:6060',
    profileDir: './profiles',
    writeOnStop: true,
    snapshots: { ...SNAPSHOT_LIMITS },
    triggers: [],
    profileDurationMs: 30_000,
    cpuSampleIntervalMicros: 10_000,
    memorySampleBytes: 524_288,
    blockProfileRate: 1,
    mutexProfileFraction: 1,
    asyncSampleRate: 0,
    leakAgeMs: 60_000,
    allocTotals: true,
    allocWindows: false,
    engine: 'auto',
    labels: 'auto',
    access: 'loopback',
    windowMs: 300_000,
    maxSeconds: 300,
    maxSeries: 1000,
    slowRequestMs: 1000,
    serverTiming: false,
    trimPaths: false,
    sidecar: true,
    stallThresholdMs: 50,
    hangThresholdMs: 1000,
    sensitive: { cmdline: false, trace: false },
  };
}

/** A rule that a value meets or not, and its words for the message. */
interface Rule {
  readonly text: string;
  meets(value: unknown): boolean;
  /** For values with parts: which of them is wrong. */
  detail?(value: unknown): string | undefined;
}

const BOOLEAN: Rule = { text: 'true or false', meets: (value) => typeof value === 'boolean' };

const integer = (min: number, max: number): Rule => ({
  text: `an integer from ${min} to ${max}`,
  meets: (value) => Number.isInteger(value) && (value as number) >= min && (value as number) <= max,
});

const oneOf = (names: readonly string[]): Rule => ({
  text: `one of ${names.map((name) => `'${name}'`).join(', ')}`,
  meets: (value) => names.includes(value as string),
});

const LABELS: Rule = {
  text: "true, false or 'auto'",
  meets: (value) => typeof value === 'boolean' || value === 'auto',
};

/** Shorter tokens can be guessed. */
const MIN_TOKEN_LENGTH = 16;

const ACCESS: Rule = {
  text: `'loopback', 'public', { token } with at least ${MIN_TOKEN_LENGTH} characters, or { authorize } with a function`,
  meets: (value) => {
    if (value === 'loopback' || value === 'public') return true;
    if (typeof value !== 'object' || value === null) return false;
    const keys = Object.keys(value);
    if (keys.length !== 1) return false;
    const { token, authorize } = value as { token?: unknown; authorize?: unknown };
    return (typeof token === 'string' && token.length >= MIN_TOKEN_LENGTH) || typeof authorize === 'function';
  },
};

const DIRECTORY: Rule = {
  text: 'the path of a directory, as a string without NUL',
  meets: (value) => typeof value === 'string' && value !== '' && !value.includes('\0'),
};

const LIMIT_RULES: Readonly<Record<keyof SnapshotLimits, Rule>> = {
  maxCount: integer(1, 100_000),
  maxBytes: integer(2 ** 20, 2 ** 40),
  maxAgeMs: integer(60_000, 365 * 24 * 3_600_000),
};

const SNAPSHOTS: Rule = {
  text: 'an object with maxCount, maxBytes, maxAgeMs or some of them',
  meets: (value) => SNAPSHOTS.detail?.(value) === undefined,
  detail: (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return `got ${shown(value)}`;
    for (const [name, limit] of Object.entries(value)) {
      if (!Object.hasOwn(LIMIT_RULES, name)) return `got one with \`${name}\``;
      const rule = LIMIT_RULES[name as keyof SnapshotLimits];
      if (limit !== undefined && !rule.meets(limit))
        return `whose \`${name}\` must be ${rule.text}, got ${shown(limit)}`;
    }
    return undefined;
  },
};

const MAX_DETAIL = 300;

const TRIGGERS: Rule = {
  text: "a list of up to 100 rules such as { on: 'stall', longerThanMs: 1000 }",
  meets: (value) => problemOfTriggers(value) === undefined,
  detail: (value) => inShort(problemOfTriggers(value)),
};

const ADDRESS: Rule = {
  text: "'host:port' with a port from 0 to 65535, such as 'localhost:6060', '[::1]:6060' or ':6060', or 'unix:/path/to.sock' with an absolute path",
  meets: (value) =>
    typeof value === 'string' && (parseAddress(value) !== undefined || socketPath(value) !== undefined),
};

const SENSITIVE_FIELDS: readonly SensitiveField[] = ['cmdline', 'trace'];

const SENSITIVE: Rule = {
  text: `an object with ${SENSITIVE_FIELDS.join(', ')}, each true or false`,
  meets: (value) =>
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.entries(value).every(
      ([field, on]) => SENSITIVE_FIELDS.includes(field as SensitiveField) && typeof on === 'boolean',
    ),
};

const RULES: Record<keyof ProfilerConfig, Rule> = {
  enableCPU: BOOLEAN,
  enableMemory: BOOLEAN,
  enableBlock: BOOLEAN,
  enableMutex: BOOLEAN,
  enableGoroutine: BOOLEAN,
  enableHTTP: BOOLEAN,
  httpAddr: ADDRESS,
  profileDir: DIRECTORY,
  writeOnStop: BOOLEAN,
  snapshots: SNAPSHOTS,
  triggers: TRIGGERS,
  profileDurationMs: integer(1000, 3_600_000),
  cpuSampleIntervalMicros: integer(1000, 1_000_000),
  memorySampleBytes: integer(1024, 1_073_741_824),
  blockProfileRate: integer(0, 1_000_000_000_000),
  mutexProfileFraction: integer(0, 1_000_000),
  asyncSampleRate: integer(0, 1_000_000),
  leakAgeMs: integer(1000, 86_400_000),
  allocTotals: BOOLEAN,
  allocWindows: BOOLEAN,
  engine: oneOf(ENGINE_NAMES),
  labels: LABELS,
  access: ACCESS,
  windowMs: integer(1000, 3_600_000),
  maxSeconds: integer(1, 3600),
  maxSeries: integer(1, 100_000),
  slowRequestMs: integer(1, 3_600_000),
  serverTiming: BOOLEAN,
  trimPaths: BOOLEAN,
  sidecar: BOOLEAN,
  stallThresholdMs: integer(20, 3_600_000),
  hangThresholdMs: integer(100, 3_600_000),
  sensitive: SENSITIVE,
};

/**
 * Checks what the user gave and fills in the defaults. Throws LOOPPROF_INVALID_CONFIG naming field, rule and value. Fields that
 * are `undefined` count as not given.
 */
export function resolveConfig(given: Partial<ProfilerConfig> = {}): ResolvedConfig {
  if (typeof given !== 'object' || given === null) {
    throw invalid(`The configuration must be an object, got ${shown(given)}.`);
  }
  const config: Record<string, unknown> = { ...defaultProfilerConfig() };
  const fields = new Set<keyof ProfilerConfig>();
  for (const [field, value] of Object.entries(given)) {
    if (value === undefined) continue;
    const rule = Object.hasOwn(RULES, field) ? RULES[field as keyof ProfilerConfig] : undefined;
    if (!rule)
      throw invalid(
        `Unknown configuration field \`${clipped(field)}\`. Fields are: ${Object.keys(RULES).join(', ')}.`,
      );
    if (!rule.meets(value))
      throw invalid(
        `\`${field}\` must be ${rule.text}, ${rule.detail?.(value) ?? `got ${rule === ACCESS ? withoutSecrets(value) : shown(value)}`}.`,
      );
    config[field] = value;
    fields.add(field as keyof ProfilerConfig);
  }
  const complete = config as unknown as ProfilerConfig;
  checkReach(complete);
  return { ...complete, snapshots: { ...SNAPSHOT_LIMITS, ...definedOf(complete.snapshots) }, given: fields };
}

/** Throws LOOPPROF_INVALID_CONFIG for a standalone server that other machines could reach and nothing protects. */
function checkReach({ enableHTTP, httpAddr, access }: ProfilerConfig): void {
  if (!enableHTTP || access !== 'loopback' || socketPath(httpAddr) !== undefined) return;
  const host = parseAddress(httpAddr)?.host?.toLowerCase();
  if (host === 'localhost' || host === '::1' || (host !== undefined && /^127(?:\.\d+){3}$/.test(host)))
    return;
  throw invalid(
    `\`httpAddr\` '${httpAddr}' can be reached from other machines, where access: 'loopback' does not hold: set access: { token }, { authorize } or 'public', or use 'localhost:6060'.`,
  );
}

function definedOf<T extends object>(object: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as never;
}

/** Splits `host:port`; undefined when it is malformed. An empty host means every interface. */
export function parseAddress(address: string): { host: string | undefined; port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/[\]]*)):(\d{1,5})$/.exec(address);
  if (!match) return undefined;
  const port = Number(match[3]);
  return port > 65_535 ? undefined : { host: match[1] ?? (match[2] || undefined), port };
}

/** The same address with the port that the server at `url` has got, where any would do. */
export function withGivenPort(address: string, url: string): string {
  return parseAddress(address)?.port === 0 ? address.replace(/\d+$/, new URL(url).port || '80') : address;
}

/** The path of `unix:/path/to.sock`; undefined when it is something else. */
export function socketPath(address: string): string | undefined {
  // eslint-disable-next-line no-control-regex
  return /^unix:(\/[^\0-\x1f]*[^\0-\x1f/])$/.exec(address)?.[1];
}

function invalid(message: string): LoopprofError {
  return new LoopprofError('LOOPPROF_INVALID_CONFIG', message);
}

/** The same for a value that may hold a token. */
function withoutSecrets(value: unknown): string {
  return typeof value === 'string' || typeof value === 'function' ? `a ${typeof value}` : shown(value);
}

/** What is said of a value may repeat all of it. */
function inShort(text: string | undefined): string | undefined {
  return text !== undefined && text.length > MAX_DETAIL ? `${text.slice(0, MAX_DETAIL)}…` : text;
}

/** A value for an error message. */
function shown(value: unknown): string {
  if (typeof value === 'string') return `'${clipped(value)}' (string)`;
  if (typeof value === 'object' && value !== null)
    return `an object with ${clipped(Object.keys(value).join(', ')) || 'no fields'}`;
  return `${clipped(String(value))} (${typeof value})`;
}

const MAX_SHOWN_LENGTH = 100;

function clipped(text: string): string {
  return text.length > MAX_SHOWN_LENGTH ? `${text.slice(0, MAX_SHOWN_LENGTH)}…` : text;
}
