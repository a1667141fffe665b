import {
  defaultProfilerConfig,
  parseAddress,
  withGivenPort,
  resolveConfig,
  type AccessRequest,
  type ProfilerConfig,
} from '../src/config.js';
import { isLoopprofError, type LoopprofError } from '../src/errors.js';

const TOKEN = 'correct-horse-battery-staple';

/** What is wrong for each field, and the words by which the message shows the value. */
const WRONG: Partial<Record<keyof ProfilerConfig, [value: unknown, shown: string][]>> = {
  enableCPU: [
    ['true', "'true' (string)"],
    [1, '1 (number)'],
    [null, 'null'],
  ],
  enableMemory: [
    ['false', "'false' (string)"],
    [0, '0 (number)'],
  ],
  enableBlock: [
    ['false', "'false' (string)"],
    [1, '1 (number)'],
  ],
  enableMutex: [
    ['true', "'true' (string)"],
    [0, '0 (number)'],
  ],
  enableGoroutine: [
    ['no', "'no' (string)"],
    [null, 'null'],
  ],
  enableHTTP: [
    ['yes', "'yes' (string)"],
    [{}, 'an object with no fields'],
  ],
  httpAddr: [
    [6060, '6060 (number)'],
    ['', "''"],
    ['localhost', "'localhost'"],
    ['6060', "'6060'"],
    ['localhost:', "'localhost:'"],
    ['localhost:65536', "'localhost:65536'"],
    ['localhost:-1', "'localhost:-1'"],
    ['localhost:http', "'localhost:http'"],
    ['http://localhost:6060', "'http://localhost:6060'"],
    ['local host:6060', "'local host:6060'"],
    ['::1:6060', "'::1:6060'"],
    ['[::1:6060', "'[::1:6060'"],
    ['localhost:6060/debug', "'localhost:6060/debug'"],
    ['localhost:6060\n', 'localhost:6060'],
    ['unix:', "'unix:'"],
    ['unix:pprof.sock', "'unix:pprof.sock'"],
    ['unix:/run/app/', "'unix:/run/app/'"],
    ['unix:/run/\0app.sock', 'unix:/run/'],
  ],
  profileDir: [
    [7, '7 (number)'],
    ['', "''"],
    ['a\0b', "'a"],
    [null, 'null'],
  ],
  writeOnStop: [
    ['no', "'no' (string)"],
    [0, '0 (number)'],
  ],
  snapshots: [
    [null, 'null'],
    [100, '100 (number)'],
    [[], 'an object'],
    [{ maxFiles: 3 }, 'got one with `maxFiles`'],
    [{ maxCount: 0 }, '`maxCount` must be an integer from 1 to 100000, got 0 (number)'],
    [{ maxBytes: 1000 }, '`maxBytes` must be an integer from 1048576 to 1099511627776, got 1000'],
    [{ maxCount: 5, maxAgeMs: '7d' }, "`maxAgeMs` must be an integer from 60000 to 31536000000, got '7d'"],
  ],
  triggers: [
    [{ on: 'stall', longerThanMs: 1000 }, 'got an object'],
    ['stall', "got 'stall' (string)"],
    [new Array(101).fill({ on: 'outOfMemory' }), 'got a list of 101'],
    [['stall'], "number 1 is 'stall' (string)"],
    [[null], 'number 1 is null'],
    [[{ on: 'hang' }], "number 1 has `on` 'hang' (string), not one of 'stall', 'highLoad', 'rss'"],
    [[{ on: 'constructor' }], "number 1 has `on` 'constructor'"],
    [[{ longerThanMs: 1000 }], 'number 1 has `on` undefined'],
    [
      [{ on: 'outOfMemory' }, { on: 'stall' }],
      'number 2 (stall) lacks `longerThanMs`: an integer from 10 to',
    ],
    [
      [{ on: 'stall', longerThanMs: 9 }],
      '`longerThanMs` 9 (number), which must be an integer from 10 to 3600000',
    ],
    [[{ on: 'stall', longerThanMs: undefined }], '`longerThanMs` undefined'],
    [
      [{ on: 'stall', above: 9 }],
      'unknown field `above`; fields are: on, longerThanMs, cooldownMs, maxPerHour',
    ],
    [[{ on: 'stall', longerThanMs: 50, maxPerHour: 0 }], '`maxPerHour` 0'],
    [[{ on: 'stall', longerThanMs: 50, cooldownMs: -1 }], '`cooldownMs` -1'],
    [
      [{ on: 'highLoad', utilizationAbove: 1 }],
      '`utilizationAbove` 1 (number), which must be a number above 0',
    ],
    [[{ on: 'highLoad', utilizationAbove: 0.9, forMs: 0.5 }], '`forMs` 0.5'],
    [[{ on: 'rss', shareAbove: 80 }], '`shareAbove` 80'],
    [[{ on: 'heap', shareAbove: Number.NaN }], '`shareAbove` NaN'],
    [[{ on: 'heapGrowth', timesAverageAbove: 1 }], '`timesAverageAbove` 1'],
    [[{ on: 'heapGrowth', timesAverageAbove: 2, minBytes: -1 }], '`minBytes` -1'],
    [[{ on: 'latency', p99AboveMs: 0 }], '`p99AboveMs` 0'],
    [[{ on: 'latency', p99AboveMs: 5, route: '' }], "`route` ''"],
    [[{ on: 'latency', p99AboveMs: 5, overMs: 999 }], '`overMs` 999'],
    [[{ on: 'errors', shareAbove: 0.1, minRequests: 0 }], '`minRequests` 0'],
    [[{ on: 'errors', shareAbove: 0.1, method: 7 }], '`method` 7'],
    [[{ on: 'interval', everyMs: 999 }], '`everyMs` 999'],
    [[{ on: 'signal', signal: 'SIGTERM' }], "`signal` 'SIGTERM' (string), which must be 'SIGUSR2'"],
    [[{ on: 'outOfMemory', cooldownMs: 1 }], 'unknown field `cooldownMs`; fields are: on'],
  ],
  profileDurationMs: [
    ['30000', "'30000' (string)"],
    [999, '999 (number)'],
    [3_600_001, '3600001 (number)'],
    [1500.5, '1500.5 (number)'],
    [Number.NaN, 'NaN'],
    [Infinity, 'Infinity'],
  ],
  cpuSampleIntervalMicros: [
    [999, '999 (number)'],
    [1_000_001, '1000001 (number)'],
    [10_000n, '10000 (bigint)'],
  ],
  memorySampleBytes: [
    [1023, '1023 (number)'],
    [1_073_741_825, '1073741825 (number)'],
    ['512k', "'512k' (string)"],
  ],
  blockProfileRate: [
    [-1, '-1 (number)'],
    [1_000_000_000_001, '1000000000001 (number)'],
    [1.5, '1.5 (number)'],
    ['1us', "'1us' (string)"],
  ],
  mutexProfileFraction: [
    [-1, '-1 (number)'],
    [1_000_001, '1000001 (number)'],
    [0.1, '0.1 (number)'],
  ],
  asyncSampleRate: [
    [-1, '-1 (number)'],
    [1_000_001, '1000001 (number)'],
    [0.01, '0.01 (number)'],
    [true, 'true (boolean)'],
  ],
  leakAgeMs: [
    [999, '999 (number)'],
    [86_400_001, '86400001 (number)'],
    ['1m', "'1m' (string)"],
  ],
  allocTotals: [
    ['yes', "'yes' (string)"],
    [1, '1 (number)'],
  ],
  allocWindows: [
    ['no', "'no' (string)"],
    [null, 'null'],
  ],
  engine: [
    ['v8', "'v8' (string)"],
    ['Datadog', "'Datadog' (string)"],
    [['auto'], 'an object'],
  ],
  access: [
    ['everybody', ''],
    [true, 'boolean'],
    [{}, 'an object with no fields'],
    [{ token: 'fifteen chars..' }, 'an object with token'],
    [{ token: 123456789012345678n }, 'an object with token'],
    [{ authorize: 'yes' }, 'an object with authorize'],
    [{ token: TOKEN, authorize: () => true }, 'an object with token, authorize'],
    [{ tokens: [TOKEN] }, 'an object with tokens'],
  ],
  windowMs: [
    [999, '999 (number)'],
    [3_600_001, '3600001 (number)'],
    ['5m', "'5m' (string)"],
  ],
  maxSeconds: [
    [0, '0 (number)'],
    [3601, '3601 (number)'],
    [-1, '-1 (number)'],
  ],
  labels: [
    ['always', "'always' (string)"],
    ['true', "'true' (string)"],
    [1, '1 (number)'],
  ],
  maxSeries: [
    [0, '0 (number)'],
    [100_001, '100001 (number)'],
    ['all', "'all' (string)"],
  ],
  slowRequestMs: [
    [0, '0 (number)'],
    [3_600_001, '3600001 (number)'],
  ],
  trimPaths: [
    ['yes', "'yes' (string)"],
    [0, '0 (number)'],
  ],
  serverTiming: [
    ['on', "'on' (string)"],
    [1, '1 (number)'],
  ],
  sidecar: [
    ['no', "'no' (string)"],
    [0, '0 (number)'],
  ],
  stallThresholdMs: [
    [19, '19 (number)'],
    [3_600_001, '3600001 (number)'],
    ['50', "'50' (string)"],
  ],
  hangThresholdMs: [
    [99, '99 (number)'],
    [1.5e9, '1500000000 (number)'],
  ],
  sensitive: [
    [true, 'true (boolean)'],
    [null, 'null'],
    [['cmdline'], 'an object with 0'],
    [[], 'an object with no fields'],
    [{ cmdline: 'yes' }, 'an object with cmdline'],
    [{ cmdLine: true }, 'an object with cmdLine'],
  ],
};

const RULES: Partial<Record<keyof ProfilerConfig, RegExp>> = {
  enableCPU: /true or false/,
  enableMemory: /true or false/,
  enableBlock: /true or false/,
  enableMutex: /true or false/,
  enableGoroutine: /true or false/,
  enableHTTP: /true or false/,
  httpAddr: /'host:port' with a port from 0 to 65535/,
  profileDir: /the path of a directory/,
  writeOnStop: /true or false/,
  snapshots: /an object with maxCount, maxBytes, maxAgeMs/,
  triggers: /a list of up to 100 rules such as \{ on: 'stall', longerThanMs: 1000 \}/,
  profileDurationMs: /an integer from 1000 to 3600000/,
  cpuSampleIntervalMicros: /an integer from 1000 to 1000000/,
  memorySampleBytes: /an integer from 1024 to 1073741824/,
  blockProfileRate: /an integer from 0 to 1000000000000/,
  mutexProfileFraction: /an integer from 0 to 1000000/,
  asyncSampleRate: /an integer from 0 to 1000000/,
  leakAgeMs: /an integer from 1000 to 86400000/,
  engine: /one of 'auto', 'datadog', 'inspector'/,
  allocTotals: /true or false/,
  allocWindows: /true or false/,
  access: /'loopback', 'public', \{ token \} with at least 16 characters, or \{ authorize \} with a function/,
  windowMs: /an integer from 1000 to 3600000/,
  maxSeconds: /an integer from 1 to 3600/,
  labels: /true, false or 'auto'/,
  maxSeries: /an integer from 1 to 100000/,
  slowRequestMs: /an integer from 1 to 3600000/,
  serverTiming: /true or false/,
  trimPaths: /true or false/,
  sidecar: /true or false/,
  stallThresholdMs: /an integer from 20 to 3600000/,
  hangThresholdMs: /an integer from 100 to 3600000/,
  sensitive: /an object with cmdline, trace, each true or false/,
};

/** What the field may be, its limits included. */
const RIGHT: Partial<Record<keyof ProfilerConfig, unknown[]>> = {
  enableCPU: [true, false],
  enableMemory: [true, false],
  enableBlock: [true, false],
  enableMutex: [true, false],
  enableGoroutine: [true, false],
  enableHTTP: [true, false],
  httpAddr: ['localhost:6060', 'LOCALHOST:1', '127.9.9.9:65535', '[::1]:0', 'unix:/run/app/pprof.sock'],
  profileDir: ['./profiles', '/var/lib/app/profiles', 'C:\\profiles'],
  writeOnStop: [true, false],
  snapshots: [
    { maxCount: 1, maxBytes: 2 ** 20, maxAgeMs: 60_000 },
    { maxCount: 100_000, maxBytes: 2 ** 40, maxAgeMs: 31_536_000_000 },
  ],
  triggers: [
    [],
    [{ on: 'stall', longerThanMs: 10, cooldownMs: 0, maxPerHour: 1 }],
    [
      { on: 'highLoad', utilizationAbove: 0.999, forMs: 0 },
      { on: 'rss', shareAbove: 0.001, cooldownMs: 86_400_000 },
      { on: 'heap', shareAbove: 0.9, maxPerHour: 3600 },
      { on: 'heapGrowth', timesAverageAbove: 1.01, overMs: 1000, minBytes: 0 },
      {
        on: 'latency',
        p99AboveMs: 250,
        route: '/users/:id',
        method: 'GET',
        overMs: 3_600_000,
        minRequests: 1,
      },
      { on: 'errors', shareAbove: 0.05, route: undefined },
      { on: 'interval', everyMs: 604_800_000 },
      { on: 'signal', signal: 'SIGUSR2' },
      { on: 'outOfMemory' },
    ],
  ],
  profileDurationMs: [1000, 3_600_000],
  cpuSampleIntervalMicros: [1000, 1_000_000],
  memorySampleBytes: [1024, 1_073_741_824],
  blockProfileRate: [0, 1, 1_000_000_000_000],
  mutexProfileFraction: [0, 1, 1_000_000],
  asyncSampleRate: [0, 1, 1_000_000],
  leakAgeMs: [1000, 86_400_000],
  engine: ['auto', 'datadog', 'inspector'],
  allocTotals: [true, false],
  allocWindows: [true, false],
  access: ['loopback', 'public', { token: '0123456789abcdef' }, { authorize: () => false }],
  windowMs: [1000, 3_600_000],
  maxSeconds: [1, 3600],
  labels: [true, false, 'auto'],
  maxSeries: [1, 100_000],
  slowRequestMs: [1, 3_600_000],
  serverTiming: [true, false],
  trimPaths: [true, false],
  sidecar: [true, false],
  stallThresholdMs: [20, 3_600_000],
  hangThresholdMs: [100, 3_600_000],
  sensitive: [{}, { cmdline: true }, { cmdline: false, trace: true }],
};

function refusalOf(given: unknown): LoopprofError {
  try {
    resolveConfig(given as Partial<ProfilerConfig>);
  } catch (error) {
    if (isLoopprofError(error)) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

describe('a configuration', () => {
  it('is the defaults when nothing is given, and remembers that nothing was', () => {
    const { given, ...config } = resolveConfig();
    expect(config).toEqual(defaultProfilerConfig());
    expect([...given]).toEqual([]);
  });

  it('keeps what was given, and remembers what that was', () => {
    const config = resolveConfig({ enableCPU: false, httpAddr: 'localhost:0', access: 'loopback' });
    expect(config).toEqual({
      ...defaultProfilerConfig(),
      enableCPU: false,
      httpAddr: 'localhost:0',
      given: new Set(['enableCPU', 'httpAddr', 'access']),
    });
  });

  it('counts a field that is undefined as not given', () => {
    const config = resolveConfig({ access: undefined, maxSeconds: undefined } as unknown as object);
    expect(config.maxSeconds).toBe(300);
    expect([...config.given]).toEqual([]);
  });

  it('fills in the limits of snapshots that are left out', () => {
    expect(resolveConfig({ snapshots: { maxCount: 5, maxBytes: undefined } as object }).snapshots).toEqual({
      ...defaultProfilerConfig().snapshots,
      maxCount: 5,
    });
  });

  it('gives its defaults as a fresh object each time', () => {
    defaultProfilerConfig().maxSeconds = 1;
    expect(defaultProfilerConfig().maxSeconds).toBe(300);
  });

  it('has a rule tested here for every field', () => {
    const fields = Object.keys(defaultProfilerConfig()).sort();
    expect([WRONG, RULES, RIGHT].map((table) => Object.keys(table).sort())).toEqual([fields, fields, fields]);
  });

  const right = Object.entries(RIGHT).flatMap(([field, values]) => values.map((value) => ({ field, value })));
  it.each(right)('takes $field $value', ({ field, value }) => {
    expect(resolveConfig({ [field]: value })).toMatchObject({ [field]: value });
  });

  const wrong = Object.entries(WRONG).flatMap(([field, values]) =>
    values.map(([value, shown]) => ({ field: field as keyof ProfilerConfig, value, shown })),
  );
  it.each(wrong)(
    'refuses $field $value with a message that names field, rule and value',
    ({ field, value, shown }) => {
      const { code, message } = refusalOf({ [field]: value });
      expect(code).toBe('LOOPPROF_INVALID_CONFIG');
      expect(message).toContain(`\`${field}\``);
      expect(message).toMatch(RULES[field] ?? 'a rule in the table above');
      expect(message).toContain(shown);
    },
  );

  it.each(['enableCpu', 'port', '__proto__x', 'constructor', 'toString', 'path'])(
    'refuses the unknown field %s with a message that names the known ones',
    (field) => {
      const { code, message } = refusalOf({ [field]: 1 });
      expect(code).toBe('LOOPPROF_INVALID_CONFIG');
      expect(message).toContain(`Unknown configuration field \`${field}\``);
      for (const known of Object.keys(defaultProfilerConfig())) expect(message).toContain(known);
    },
  );

  it.each(['localhost:6060', 6060, null, true])('refuses %p in place of an object', (given) => {
    const { code, message } = refusalOf(given);
    expect(code).toBe('LOOPPROF_INVALID_CONFIG');
    expect(message).toMatch(/^The configuration must be an object, got /);
  });
});

describe('an address that other machines can reach', () => {
  const OPEN = [
    ':6060',
    '0.0.0.0:65535',
    '[::]:6060',
    'db-1.internal:1',
    '192.0.2.1:0',
    'localhost.:1',
    '127.1:1',
  ];

  it.each(OPEN)('%s is refused where only loopback access holds, written out or not', (httpAddr) => {
    for (const config of [{ httpAddr }, { httpAddr, access: 'loopback' }]) {
      const { code, message } = refusalOf(config);
      expect(code).toBe('LOOPPROF_INVALID_CONFIG');
      expect(message).toContain(`\`httpAddr\` '${httpAddr}' can be reached from other machines`);
      expect(message).toMatch(/set access: \{ token \}.*or use 'localhost:6060'/);
    }
  });

  it.each(OPEN)('%s is taken with a token, a hook, public access, or without a server', (httpAddr) => {
    for (const more of [
      { access: { token: TOKEN } },
      { access: { authorize: () => true } },
      { access: 'public' },
      { enableHTTP: false },
    ] as const) {
      expect(resolveConfig({ httpAddr, ...more })).toMatchObject({ httpAddr, ...more });
    }
  });
});

describe('a refused configuration never repeats a token', () => {
  const authorizeByToken = (request: AccessRequest) =>
    request.headers['x-key'] === 'correct-horse-battery-staple';
  it.each<[string, unknown]>([
    ['too short', { access: { token: TOKEN.slice(0, 10) } }],
    ['in an unknown form', { access: { token: [TOKEN] } }],
    ['beside a hook', { access: { token: TOKEN, authorize: () => true } }],
    ['under another name', { access: { secret: TOKEN } }],
    ['as a field of its own', { token: TOKEN }],
    ['as the value of access', { access: TOKEN }],
    ['as the key of access', { access: [TOKEN] }],
    ['in the source of a function that was to be { authorize }', { access: authorizeByToken }],
  ])('that was given %s', (_how, given) => {
    expect(refusalOf(given).message).not.toContain(TOKEN.slice(0, 10));
  });
});

describe('an address', () => {
  it.each([
    ['localhost:6060', { host: 'localhost', port: 6060 }],
    ['127.0.0.1:0', { host: '127.0.0.1', port: 0 }],
    [':6060', { host: undefined, port: 6060 }],
    ['[::1]:6060', { host: '::1', port: 6060 }],
    ['[::ffff:127.0.0.1]:65535', { host: '::ffff:127.0.0.1', port: 65_535 }],
  ])('%s is split', (address, parts) => {
    expect(parseAddress(address)).toEqual(parts);
  });

  it.each([
    ['localhost:0', 'http://127.0.0.1:4711/debug/pprof/', 'localhost:4711'],
    [':0', 'http://localhost:4711/debug/pprof/', ':4711'],
    ['[::1]:0', 'http://[::1]:80/debug/pprof/', '[::1]:80'],
    [':6060', 'http://localhost:6060/debug/pprof/', ':6060'],
    ['unix:/run/pprof:0', 'unix:/run/pprof:0', 'unix:/run/pprof:0'],
  ])('%s at which a server has begun to listen names its port', (address, url, given) => {
    expect(withGivenPort(address, url)).toBe(given);
  });
});
