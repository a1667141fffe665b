import { setTimeout as sleep } from 'node:timers/promises';
import { Profiler } from '@loopprof/core';
import { pprofRouter, profilingMiddleware } from '@loopprof/express';
import express from 'express';
import { fetchProfile } from '../support/fetch.js';
import { listen, type Listening } from '../support/listen.js';
import { keepingLogger } from '../support/logger.js';
import { readProfile } from '../support/profile.js';

const express4 = jest.requireActual<typeof express>('express4');

const logger = keepingLogger();
const profiler = new Profiler({ httpAddr: 'localhost:0' }, logger);
const servers: Listening[] = [];

async function serve(app: express.Express): Promise<string> {
  const server = await listen(app);
  servers.push(server);
  return server.origin;
}

/** An app with profiles and with routes of its own; without `mount` it is the app as it would be without us. */
function appOf(framework: typeof express, mount: (app: express.Express) => void = () => {}): express.Express {
  const app = framework();
  mount(app);
  app.use(framework.json());
  app.get('/', (_req, res) => void res.send('hello'));
  app.post('/echo', (req, res) => void res.status(201).json(req.body));
  app.get('/debug', (_req, res) => void res.send('mine'));
  app.get('/debug/pprofile', (_req, res) => void res.send('also mine'));
  return app;
}

const withMiddleware = (app: express.Express) => void app.use(profilingMiddleware({ profiler }));
const withRouter = (app: express.Express) => void app.use('/internal/pprof', pprofRouter({ profiler }));
const inSubApp = (framework: typeof express) => (app: express.Express) => {
  const ops = framework();
  const router = framework.Router();
  router.use('/pprof', pprofRouter({ profiler }));
  ops.use('/v1', router);
  app.use('/ops', ops);
};

/** Where the index page is, by how the profiles are served. */
const SITES: Record<string, () => Promise<string>> = {
  'the standalone server': () => Promise.resolve(profiler.address ?? 'not listening'),
  'Express 5, middleware': async () => `${await serve(appOf(express, withMiddleware))}/debug/pprof/`,
  'Express 4, middleware': async () => `${await serve(appOf(express4, withMiddleware))}/debug/pprof/`,
  'Express 5, router': async () => `${await serve(appOf(express, withRouter))}/internal/pprof/`,
  'Express 4, router in a router in a sub-app': async () =>
    `${await serve(appOf(express4, inSubApp(express4)))}/ops/v1/pprof/`,
};

beforeAll(() => profiler.start());
afterAll(async () => {
  await Promise.all(servers.map((server) => server.close()));
  await profiler.stop();
});

const TEXT = 'text/plain; charset=utf-8';
const BINARY = 'application/octet-stream';
const HTML = 'text/html; charset=utf-8';
const GZIP = new RegExp(`^${String.fromCharCode(0x1f, 0x8b)}`);
const NOTHING = /^$/;

interface Row {
  path: string;
  method: string;
  status: number;
  contentType: string;
  contentDisposition: string | null;
  body: RegExp;
  xGoPprof: string | null;
  allow?: string;
}

function ok(path: string, body: RegExp, more: Partial<Row> = {}): Row {
  return {
    path,
    method: 'GET',
    status: 200,
    contentType: BINARY,
    contentDisposition: null,
    body,
    xGoPprof: null,
    ...more,
  };
}

const binary = (path: string, name: string) =>
  ok(path, GZIP, { contentDisposition: `attachment; filename="${name}"` });
const head = (row: Row): Row => ({ ...row, method: 'HEAD', body: NOTHING });

function refused(status: number, path: string, body: RegExp, more: Partial<Row> = {}): Row {
  return ok(path, body, { status, contentType: TEXT, xGoPprof: '1', ...more });
}

const HEAP_TEXT = /^heap profile: \d+: \d+ \[\d+: \d+\] @ heap\/2\n/;
const SECONDS_RULE =
  /^invalid value for "seconds" - must be a positive integer up to 300 \(maxSeconds\), got "[^\n]*"\n$/;
const DIFFERING = /^"seconds" is given more than once with different values: give it once\.\n$/;
const NOT_ALLOWED = { method: 'POST', allow: 'GET, HEAD' };

const ok200: Row[] = [
  ok('', /^<!doctype html>[^]*Types of profiles available[^]*<\/html>\s*$/, { contentType: HTML }),
  binary('heap', 'heap'),
  binary('heap?gc=1', 'heap'),
  binary('heap?seconds=1', 'heap-delta'),
  ok('heap?debug=1', HEAP_TEXT, { contentType: TEXT }),
  ok('heap?debug=1&gc=1', HEAP_TEXT, { contentType: TEXT }),
  binary('heap?debug=nonsense', 'heap'),
  binary('heap?unknown=1', 'heap'),
  ...['goroutine', 'goroutineleak', 'threadcreate'].flatMap((name) => [
    binary(name, name),
    ok(`${name}?debug=1`, new RegExp(`^${name} profile: total \\d+\n`), { contentType: TEXT }),
  ]),
  binary('goroutine?seconds=1', 'goroutine-delta'),
  ok('goroutine?debug=2', /^goroutine 1 \[[\w-]+[^\n]*\]:\n[^\n]+\n\t/, { contentType: TEXT }),
  binary('block', 'block'),
  binary('block?seconds=1', 'block-delta'),
  ok('block?debug=1', /^--- contention:\ncycles\/second=1000000000\n/, { contentType: TEXT }),
  binary('mutex', 'mutex'),
  binary('mutex?seconds=1', 'mutex-delta'),
  ok('mutex?debug=1', /^--- mutex:\ncycles\/second=1000000000\nsampling period=1\n/, { contentType: TEXT }),
  binary('allocs', 'allocs'),
  ok('allocs?debug=1', HEAP_TEXT, { contentType: TEXT }),
  binary('delta_heap', 'delta_heap'),
  binary('delta_heap?gc=1&seconds=14&client=a', 'delta_heap'),
  binary('delta_block', 'delta_block'),
  binary('delta_block?client=a', 'delta_block'),
  binary('delta_mutex', 'delta_mutex'),
  ok('symbol', /^num_symbols: 1\n$/, { contentType: TEXT }),
  binary('profile?seconds=1', 'profile'),
  binary('cpu?seconds=1', 'profile'),
  binary('profile?seconds=1&debug=1', 'profile'),
  binary('profile?seconds=1&seconds=1', 'profile'),
  binary('profile?from=now-2s', 'profile'),
  binary('profile?from=now-2s&to=now', 'profile'),
];

const BAD_SECONDS = ['abc', '-1', '0', '1.5', '1e9', '', '301', '0x10', '1%205', '%00', '%F0%9F'];

const TABLE: Row[] = [
  ...ok200,
  ...ok200.map(head),
  head(binary('profile', 'profile')),
  head(binary('profile?seconds=300', 'profile')),
  head(binary('heap?seconds=300', 'heap-delta')),

  ...['nothing', 'heap/', 'Heap', '%68eap', 'heap%2f', 'constructor', '__proto__', 'index.html'].map((path) =>
    refused(404, path, /^Unknown profile\. Known: [a-z_, ]*heap[a-z_, ]* profile[a-z_, ]*\n$/),
  ),
  head(refused(404, 'nothing', NOTHING)),
  refused(
    404,
    'cmdline',
    /^cmdline is served only when it is named: set `sensitive: \{ cmdline: true \}`\.\n$/,
  ),

  ...['', 'heap', 'profile?seconds=1', 'nothing'].map((path) =>
    refused(405, path, /^POST is not allowed here: use GET or HEAD\.\n$/, NOT_ALLOWED),
  ),
  ...['PUT', 'DELETE', 'PATCH', 'OPTIONS'].map((method) =>
    refused(405, 'heap', new RegExp(`^${method} is not allowed here: use GET or HEAD\\.\\n$`), {
      ...NOT_ALLOWED,
      method,
    }),
  ),

  ...['profile', 'cpu', 'heap'].flatMap((name) => [
    ...BAD_SECONDS.map((text) => refused(400, `${name}?seconds=${text}`, SECONDS_RULE)),
    refused(400, `${name}?seconds=1&seconds=2`, DIFFERING),
    head(refused(400, `${name}?seconds=abc`, NOTHING)),
  ]),
  refused(400, 'heap?seconds=1&debug=1', /^seconds and debug params are incompatible\n$/),

  refused(
    400,
    'profile?from=yesterday',
    /^invalid value for "from" - must be now, now-90s, now-2m, Unix seconds or an ISO 8601 time, got "yesterday"\n$/,
  ),
  refused(400, 'profile?from=now-2s&to=tomorrow', /^invalid value for "to" - must be /),
  refused(400, 'profile?to=now', /^"to" needs "from"\.\n$/),
  refused(400, 'profile?from=now-1s&to=now-2s', /^"from" must lie before "to"\.\n$/),
  refused(400, 'profile?from=now-1s&to=now-1s', /^"from" must lie before "to"\.\n$/),
  refused(400, 'profile?from=now-2s&to=9999999999', /^"to" must not lie in the future/),
  refused(
    400,
    'profile?from=0&to=1',
    /^"from" lies further back than the recorder keeps: at most 300 s \(windowMs\)\.\n$/,
  ),
  refused(
    400,
    'profile?from=now-2s&seconds=1',
    /^"seconds" is a time from now and cannot be combined with "from" and "to"\.\n$/,
  ),
  refused(400, 'heap?from=now-2s', /^"from" and "to" are not supported for this profile type/),
];

describe.each(Object.keys(SITES))('%s', (name) => {
  let index = '';
  let answers = new Map<Row, Promise<{ response: Response; body: string }>>();

  async function ask({ method, path }: Row): Promise<{ response: Response; body: string }> {
    const response = await fetch(index + path, { method, redirect: 'manual' });
    return { response, body: Buffer.from(await response.arrayBuffer()).toString('latin1') };
  }

  beforeAll(async () => {
    index = await (SITES[name] as () => Promise<string>)();
    // All at once, since some take a second.
    answers = new Map(TABLE.map((row) => [row, ask(row)]));
    await Promise.allSettled(answers.values());
  });

  it.each(TABLE)('answers $method "$path" with $status', async (row) => {
    const { response, body } = await (answers.get(row) as NonNullable<ReturnType<typeof answers.get>>);
    const { headers } = response;
    expect({
      status: response.status,
      contentType: headers.get('content-type'),
      contentDisposition: headers.get('content-disposition'),
      xGoPprof: headers.get('x-go-pprof'),
      allow: headers.get('allow'),
      nosniff: headers.get('x-content-type-options'),
      cache: headers.get('cache-control'),
      encoding: headers.get('content-encoding'),
    }).toEqual({
      status: row.status,
      contentType: row.contentType,
      contentDisposition: row.contentDisposition,
      xGoPprof: row.xGoPprof,
      allow: row.allow ?? null,
      nosniff: 'nosniff',
      cache: 'no-store',
      encoding: null,
    });
    expect(body).toMatch(row.body);
  });

  it('sends whoever leaves the slash away to the index page, query and all', async () => {
    for (const query of ['', '?debug=1']) {
      const response = await fetch(index.slice(0, -1) + query);
      expect({ status: response.status, url: response.url, redirected: response.redirected }).toEqual({
        status: 200,
        url: index + query,
        redirected: true,
      });
      expect(await response.text()).toContain('Types of profiles available');
    }
    const { status, headers } = await fetch(index.slice(0, -1), { redirect: 'manual' });
    expect([status, headers.get('x-content-type-options'), headers.get('cache-control')]).toEqual([
      301,
      'nosniff',
      'no-store',
    ]);
  });

  it('has an index page whose links lead to profiles, from wherever it is', async () => {
    const page = await (await fetch(index)).text();
    const links = [...page.matchAll(/<a href="([^"]+)"/g)].map(([, link]) =>
      (link as string).replaceAll('&#38;', '&'),
    );
    expect(links.map((link) => link.split('?')[0])).toEqual(expect.arrayContaining(['heap', 'profile']));
    for (const link of links) {
      const { status, headers } = await fetch(new URL(link, index), { method: 'HEAD' });
      expect([link, status, headers.get('x-go-pprof')]).toEqual([link, 200, null]);
    }
  });

  it('has an index page whose commands name addresses that answer', async () => {
    const page = await (await fetch(index)).text();
    const urls = [...page.matchAll(/go tool pprof [^<]*?(http:[^<\s&]+)/g)].map(([, url]) => url as string);
    expect(urls.length).toBeGreaterThan(0);
    for (const url of urls) {
      expect(url.startsWith(index)).toBe(true);
      expect((await fetch(url, { method: 'HEAD' })).status).toBe(200);
    }
  });
});

describe.each(['the standalone server', 'Express 5, middleware'])('%s', (name) => {
  it('answers HEAD at once and captures nothing', async () => {
    const index = await (SITES[name] as () => Promise<string>)();
    const captured = () =>
      logger.messages('info').filter((message) => message.includes('profile captured')).length;
    const before = captured();
    const order: string[] = [];
    const capture = fetch(`${index}profile?seconds=1`).then(() => order.push('capture of 1 s'));
    const heads = ['profile?seconds=300', 'cpu', 'heap', 'heap?seconds=300', 'heap?gc=1', 'heap?debug=1'];
    await Promise.all(
      heads.map((path) => fetch(index + path, { method: 'HEAD' }).then(() => order.push('HEAD'))),
    );
    await capture;
    expect(order).toEqual([...heads.map(() => 'HEAD'), 'capture of 1 s']);
    expect(captured() - before).toBe(1);
  });
});

describe('a window of the past', () => {
  let index = '';
  beforeAll(async () => {
    index = profiler.address ?? 'not listening';
    // Until the recorder is older than the windows asked for.
    await sleep(2500);
  });

  it.each<[string, () => string, number]>([
    ['relative', () => 'from=now-2s', 2000],
    ['relative on both sides', () => 'from=now-2s&to=now-1.5s', 500],
    ['ISO 8601', () => `from=${iso(-2)}&to=${iso(-1)}`, 1000],
    ['Unix seconds', () => `from=${unix(-2)}&to=${unix(-0.5)}`, 1500],
  ])('can be given as %s', async (_form, query, lengthMs) => {
    const before = Date.now();
    const profile = await fetchProfile(`${index}profile?${query()}`);
    const after = Date.now();
    expect(Math.abs(profile.durationMs - lengthMs)).toBeLessThanOrEqual(after - before + 1);
    expect(profile.timeMs).toBeGreaterThanOrEqual(before - 2001);
    expect(profile.timeMs + profile.durationMs).toBeLessThanOrEqual(after + 1);
  });

  it('that begins before the recorder did begins with the recorder', async () => {
    const profile = await fetchProfile(`${index}profile?from=now-200s`);
    expect(profile.durationMs).toBeGreaterThan(2000);
    expect(profile.durationMs).toBeLessThan(150_000);
  });

  it('that ends before the recorder began is refused with a 400 that says so', async () => {
    const response = await fetch(`${index}profile?from=now-290s&to=now-280s`);
    const body = Buffer.from(await response.arrayBuffer());
    const answer = response.status === 200 ? `${readProfile(body).durationMs} ms` : body.toString();
    expect([response.status, answer]).toEqual([400, expect.stringMatching(/recorder/)]);
  });

  const iso = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString();
  const unix = (seconds: number) => (Date.now() / 1000 + seconds).toFixed(3);
});

describe.each([
  { field: 'enableCPU', off: ['profile', 'cpu', 'profile?seconds=1', 'profile?seconds=abc'], on: 'heap' },
  { field: 'enableMemory', off: ['heap', 'heap?debug=1', 'heap?seconds=1'], on: 'profile?seconds=1' },
  { field: 'enableMutex', off: ['mutex', 'mutex?debug=1', 'mutex?seconds=1'], on: 'heap' },
  {
    field: 'enableGoroutine',
    off: ['goroutine', 'goroutine?debug=2', 'goroutineleak', 'threadcreate'],
    on: 'mutex',
  },
])('$field: false', ({ field, off, on }) => {
  const reduced = new Profiler({ httpAddr: 'localhost:0', [field]: false });
  beforeAll(() => reduced.start());
  afterAll(() => reduced.stop());

  it.each(
    off.flatMap((path) => [
      { path, method: 'GET' },
      { path, method: 'HEAD' },
    ]),
  )('answers $method $path with 404 and names the field', async ({ path, method }) => {
    const response = await fetch(`${reduced.address}${path}`, { method });
    expect([response.status, response.headers.get('x-go-pprof')]).toEqual([404, '1']);
    expect(await response.text()).toMatch(
      method === 'HEAD' ? NOTHING : new RegExp(`turned off.*\`${field}\``),
    );
  });

  it('leaves the other profile alone, and says on the index page what is off', async () => {
    expect((await fetchProfile(`${reduced.address}${on}`)).sampleTypes).toHaveLength(2);
    expect(await (await fetch(`${reduced.address}`)).text()).toMatch(new RegExp(`turned off[^<]*${field}`));
  });
});

describe('a parameter cap of its own', () => {
  it('is the cap that a refusal names', async () => {
    const capped = new Profiler({ httpAddr: 'localhost:0', maxSeconds: 5 });
    await capped.start();
    try {
      for (const path of ['profile', 'heap']) {
        const response = await fetch(`${capped.address}${path}?seconds=6`);
        expect([response.status, await response.text()]).toEqual([
          400,
          'invalid value for "seconds" - must be a positive integer up to 5 (maxSeconds), got "6"\n',
        ]);
      }
    } finally {
      await capped.stop();
    }
  });
});

describe("the app's other routes", () => {
  const REQUESTS: { method: string; path: string; body?: string }[] = [
    { method: 'GET', path: '/' },
    { method: 'HEAD', path: '/' },
    { method: 'GET', path: '/debug' },
    { method: 'GET', path: '/debug/pprofile' },
    { method: 'GET', path: '/debug/' },
    { method: 'GET', path: '/nowhere?x=/debug/pprof/heap' },
    { method: 'GET', path: '/sub/debug/pprof/heap' },
    { method: 'POST', path: '/echo', body: '{"a":1}' },
    { method: 'POST', path: '/echo', body: '{broken' },
  ];

  async function seen(origin: string): Promise<unknown[]> {
    return Promise.all(
      REQUESTS.map(async ({ method, path, body }) => {
        const response = await fetch(origin + path, {
          method,
          headers: { 'content-type': 'application/json' },
          ...(body === undefined ? {} : { body }),
        });
        const headers = [...response.headers].filter(([name]) => name !== 'date');
        return [method, path, response.status, headers, await response.text()];
      }),
    );
  }

  it.each([
    ['Express 5', express],
    ['Express 4', express4],
  ])('answer as they would without us: %s', async (_name, framework) => {
    const without = await seen(await serve(appOf(framework)));
    expect(await seen(await serve(appOf(framework, withMiddleware)))).toEqual(without);
    expect(await seen(await serve(appOf(framework, withRouter)))).toEqual(without);
  });
});

describe('the standalone server outside /debug/pprof', () => {
  const origin = () => new URL(profiler.address ?? 'http://not-listening').origin;

  it('sends / to the index page', async () => {
    expect((await fetch(`${origin()}/`)).url).toBe(profiler.address);
  });

  it.each(['/', '/favicon.ico', '/debug', '/debug/pprofile', '/metrics'])(
    'answers %s with no-store and nosniff too',
    async (path) => {
      const { status, headers } = await fetch(origin() + path, { redirect: 'manual' });
      expect([status, headers.get('x-content-type-options'), headers.get('cache-control')]).toEqual([
        path === '/' ? 302 : 404,
        'nosniff',
        'no-store',
      ]);
    },
  );
});
