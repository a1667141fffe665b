import { Profiler, type AccessRequest, type PprofRequest, type ProfilerConfig } from '@loopprof/core';
import { profilingMiddleware } from '@loopprof/express';
import express from 'express';
import { startService } from '../support/child.js';
import { listen, type Listening } from '../support/listen.js';
import { keepingLogger } from '../support/logger.js';
import { rawRequest, type RawResponse } from '../support/raw.js';

const TOKEN = 'open-sesame:4711-0815';
const PATH = '/debug/pprof/heap';

/** Two ways to the same profiles: a port that is ours alone, and a port of the app. */
interface Doors {
  standalone: number;
  mounted: number;
}

const closers: (() => Promise<unknown>)[] = [];
afterAll(() => Promise.all(closers.map((close) => close())));

async function open(config: Partial<ProfilerConfig>): Promise<Doors> {
  const profiler = new Profiler({ httpAddr: 'localhost:0', ...config });
  await profiler.start();
  const app: Listening = await listen(express().use(profilingMiddleware({ profiler })));
  closers.push(() => app.close().then(() => profiler.stop()));
  return { standalone: Number(new URL(profiler.address ?? '').port), mounted: app.port };
}

/** Through either door, unless it says otherwise. */
function ask(
  port: number,
  headers: readonly string[] = [],
  { host = 'localhost', version = '1.1' } = {},
): Promise<RawResponse> {
  return rawRequest(port, [`GET ${PATH} HTTP/${version}`, `Host: ${host}`, ...headers]);
}

/** A refusal is one line, and does not tell whoever is refused what runs here. */
function expectRefusal({ status, headers, body }: RawResponse, expected: 403 | 401 = 403): void {
  expect([status, headers['content-type'], headers['x-go-pprof'], headers['cache-control']]).toEqual([
    expected,
    'text/plain; charset=utf-8',
    '1',
    'no-store',
  ]);
  expect(body).toMatch(/^closed: [^\n]*\n$/);
  expect(body).not.toMatch(
    new RegExp(`${process.pid}|${process.version}|${process.cwd()}|${process.platform}`),
  );
}

const DOORS = ['standalone', 'mounted'] as const;

describe.each(DOORS)("access: 'loopback', the default, %s", (door) => {
  let port = 0;
  beforeAll(async () => (port = (await open({}))[door]));

  it('answers a plain request from this machine', async () => {
    const { status, body } = await ask(port);
    expect([status, body.slice(0, 2)]).toEqual([200, '\x1f\x8b']);
  });

  it.each([
    'Forwarded: for=192.0.2.60;proto=http',
    'X-Forwarded-For: 192.0.2.60',
    'X-Forwarded-For:',
    'X-Forwarded-Host: example.com',
    'X-Forwarded-Proto: https',
    'X-Forwarded-Port: 443',
    'X-Forwarded-Server: proxy',
    'X-Forwarded: for=192.0.2.60',
    'X-Original-Forwarded-For: 192.0.2.60',
    'X-Real-IP: 192.0.2.60',
    'X-Client-IP: 192.0.2.60',
    'X-Cluster-Client-IP: 192.0.2.60',
    'X-Envoy-External-Address: 192.0.2.60',
    'True-Client-IP: 192.0.2.60',
    'CF-Connecting-IP: 192.0.2.60',
    'Fastly-Client-IP: 192.0.2.60',
    'Via: 1.1 proxy',
  ])('refuses what a proxy has marked with "%s"', async (header) => {
    expectRefusal(await ask(port, [header]));
    expectRefusal(await ask(port, [header.toUpperCase()]));
  });

  it.each([
    'localhost',
    'LOCALHOST',
    'localhost:6060',
    '127.0.0.1',
    '127.0.0.1:6060',
    '127.9.9.9',
    '[::1]',
    '[::1]:6060',
  ])('answers Host %s', async (host) => {
    expect((await ask(port, [], { host })).status).toBe(200);
  });

  it.each([
    'localhost.',
    'localhost6',
    'localhost.evil.com',
    'evil.com',
    'evil.com:6060',
    '127.0.0.1.evil.com',
    '127.0.0.1.nip.io',
    '0.0.0.0',
    '192.0.2.1',
    '[::]',
    '[fe80::1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[0:0:0:0:0:0:0:1]',
    '127.1',
    '0x7f.1',
    '0177.0.0.1',
    '127.0.0.1.',
    '2130706433',
    '0x7f000001',
    '[::1].evil.com',
    '[127.0.0.1]',
    'user@localhost',
    'localhost/evil.com',
    'localhost, evil.com',
    '',
  ])('refuses Host "%s"', async (host) => {
    expectRefusal(await ask(port, [], { host }));
  });

  it('refuses two Host headers, also equal ones', async () => {
    const responses = await Promise.all(
      [
        ['localhost', 'evil.com'],
        ['evil.com', 'localhost'],
        ['localhost', 'localhost'],
      ].map((hosts) => rawRequest(port, [`GET ${PATH} HTTP/1.1`, ...hosts.map((host) => `Host: ${host}`)])),
    );
    for (const response of responses) expectRefusal(response);
  });

  it('refuses a request without a Host', async () => {
    // Node's own server turns this away with a 400 before we see it.
    expect((await rawRequest(port, [`GET ${PATH} HTTP/1.1`])).status).toBe(400);
    expectRefusal(await rawRequest(port, [`GET ${PATH} HTTP/1.0`]));
  });

  it.each(['cross-site', 'same-site', 'CROSS-SITE', 'anything-new'])(
    'refuses Sec-Fetch-Site: %s',
    async (site) => {
      expectRefusal(await ask(port, [`Sec-Fetch-Site: ${site}`]));
    },
  );

  it.each(['none', 'same-origin'])('answers Sec-Fetch-Site: %s', async (site) => {
    expect((await ask(port, [`Sec-Fetch-Site: ${site}`])).status).toBe(200);
  });

  it.each([
    'http://evil.com',
    'null',
    'http://localhost:1',
    'http://localhost.evil.com',
    'file://',
    'http://localhost http://evil.com',
  ])('refuses Origin: %s', async (origin) => {
    expectRefusal(await ask(port, [`Origin: ${origin}`]));
  });

  it('answers a page of its own origin, and refuses it with a second origin', async () => {
    const own = `Origin: http://localhost:${port}`;
    expect((await ask(port, [own], { host: `localhost:${port}` })).status).toBe(200);
    expectRefusal(await ask(port, [own, 'Origin: http://evil.com'], { host: `localhost:${port}` }));
  });

  it.each([
    ['a proxy', 'localhost', 'Via: 1.1 proxy'],
    ['a foreign name', 'evil.com', 'Accept: */*'],
  ])('says what would allow what %s has sent', async (_who, host, header) => {
    expect((await ask(port, [header], { host })).body).toMatch(/access: \{ token \}|Host header must be/);
  });

  it('refuses before it says what there is: the index page, unknown names and methods too', async () => {
    for (const request of [
      'GET /debug/pprof/',
      'GET /debug/pprof',
      'GET /debug/pprof/nothing',
      'POST /debug/pprof/heap',
      'HEAD /debug/pprof/heap',
    ]) {
      const response = await rawRequest(port, [`${request} HTTP/1.1`, 'Host: evil.com']);
      expect([request, response.status]).toEqual([request, 403]);
      expect(response.body).not.toContain('heap');
    }
  });
});

describe("access: 'loopback', by the socket's address", () => {
  const profiler = new Profiler({ enableHTTP: false, enableCPU: false });
  beforeAll(() => profiler.start());
  afterAll(() => profiler.stop());

  const from = (remoteAddress: string | undefined): Promise<number> => {
    const request: PprofRequest = {
      method: 'HEAD',
      url: PATH,
      path: '/heap',
      headers: { host: 'localhost' },
      httpVersion: '1.1',
      remoteAddress,
    };
    return profiler
      .createHandler()(request)
      .then(({ status }) => status);
  };

  it.each(['127.0.0.1', '127.255.0.9', '::1', '::ffff:127.0.0.1', '::FFFF:127.0.0.1'])(
    'answers %s',
    async (address) => {
      expect(await from(address)).toBe(200);
    },
  );

  it.each([
    '10.0.0.5',
    '192.168.1.2',
    '169.254.169.254',
    '0.0.0.0',
    '128.0.0.1',
    '::',
    '::2',
    'fe80::1',
    '::ffff:10.0.0.5',
    '::127.0.0.1',
    '127.0.0.1.evil.com',
    '127.',
    '',
    undefined,
  ])('refuses %s', async (address) => {
    expect(await from(address)).toBe(403);
  });
});

describe('HTTP/1.0, which proxies speak by default', () => {
  let doors: Doors = { standalone: 0, mounted: 0 };
  beforeAll(async () => (doors = await open({})));

  it('is refused on the port of the app', async () => {
    expectRefusal(await ask(doors.mounted, [], { version: '1.0' }));
  });

  it('is answered on the port that is ours alone', async () => {
    expect((await ask(doors.standalone, [], { version: '1.0' })).status).toBe(200);
  });
});

describe('NODE_ENV', () => {
  it('production closes the routes mounted in an app, and leaves the standalone server open', async () => {
    const service = await startService('mounted.cjs', {
      args: ['{}', '{"httpAddr":"localhost:0"}'],
      env: { NODE_ENV: 'production' },
    });
    try {
      const mounted = Number(new URL(service.line.split(' ')[0] ?? '').port);
      const standalone = Number(new URL(service.line.split(' ')[1] ?? '').port);
      const refusal = await ask(mounted);
      expectRefusal(refusal);
      expect(refusal.body).toMatch(/NODE_ENV.*access: \{ token \}/);
      expect((await ask(standalone)).status).toBe(200);
      expect((await rawRequest(mounted, ['GET / HTTP/1.1', 'Host: shop.example.com'])).body).toBe('the app');
    } finally {
      await service.stop();
    }
  });

  it.each([
    ["'loopback'", { access: 'loopback' }, []],
    ['a token', { access: { token: TOKEN } }, [`Authorization: Bearer ${TOKEN}`]],
    ["'public'", { access: 'public' }, []],
  ] as const)(
    'production leaves mounted routes open where access is written out: %s',
    async (_access, config, headers) => {
      await inProduction(async () => {
        const { mounted, standalone } = await open(config);
        expect((await ask(mounted, headers)).status).toBe(200);
        expect((await ask(standalone, headers)).status).toBe(200);
      });
    },
  );

  it('production leaves a mount open that writes access out for itself', async () => {
    await inProduction(async () => {
      const profiler = new Profiler({ enableHTTP: false });
      await profiler.start();
      const app = await listen(
        express()
          .use(profilingMiddleware({ profiler }))
          .use(profilingMiddleware({ profiler, path: '/open', access: 'loopback' })),
      );
      try {
        expectRefusal(await ask(app.port));
        expect((await rawRequest(app.port, ['GET /open/heap HTTP/1.1', 'Host: localhost'])).status).toBe(200);
      } finally {
        await app.close();
        await profiler.stop();
      }
    });
  });

  it.each([undefined, '', 'development', 'test', 'staging'])(
    '%p leaves mounted routes open to this machine',
    async (value) => {
      await withNodeEnv(value, async () => {
        expect((await ask((await open({})).mounted)).status).toBe(200);
      });
    },
  );

  it('other than production is logged once for mounted routes, with what that means', async () => {
    const logger = keepingLogger();
    const profiler = new Profiler({ enableHTTP: false }, logger);
    await profiler.start();
    const app = await listen(express().use(profilingMiddleware({ profiler, logger })));
    try {
      await ask(app.port);
      await ask(app.port);
      const said = [...logger.messages('info'), ...logger.messages('warn')].filter((message) =>
        message.includes('access'),
      );
      expect(said).toEqual([expect.stringMatching(/NODE_ENV|production|proxy/)]);
    } finally {
      await app.close();
      await profiler.stop();
    }
  });

  async function withNodeEnv(value: string | undefined, run: () => Promise<void>): Promise<void> {
    const before = process.env['NODE_ENV'];
    const set = (to: string | undefined) => {
      if (to === undefined) delete process.env['NODE_ENV'];
      else process.env['NODE_ENV'] = to;
    };
    set(value);
    try {
      await run();
    } finally {
      set(before);
    }
  }
  const inProduction = (run: () => Promise<void>) => withNodeEnv('production', run);
});

describe.each(DOORS)('access: { token }, %s', (door) => {
  let port = 0;
  beforeAll(async () => (port = (await open({ access: { token: TOKEN } }))[door]));

  const basic = (pair: string) => `Authorization: Basic ${Buffer.from(pair).toString('base64')}`;

  it.each([
    ['as Bearer', `Authorization: Bearer ${TOKEN}`],
    ['as bearer', `authorization: bearer  ${TOKEN} `],
    ['as the password of Basic, with a colon in it', basic(`x:${TOKEN}`)],
    ['as the password of basic without a user', basic(`:${TOKEN}`).replace('Basic', 'basic')],
  ])('answers whoever sends it %s, from anywhere', async (_how, header) => {
    expect((await ask(port, [header])).status).toBe(200);
    expect(
      (await ask(port, [header, 'X-Forwarded-For: 192.0.2.60'], { host: 'shop.example.com' })).status,
    ).toBe(200);
  });

  it.each([
    ['nothing', []],
    ['another token', ['Authorization: Bearer open-sesame:4711-0816']],
    ['the beginning of it', [`Authorization: Bearer ${TOKEN.slice(0, -1)}`]],
    ['more than it', [`Authorization: Bearer ${TOKEN}x`]],
    ['it in another case', [`Authorization: Bearer ${TOKEN.toUpperCase()}`]],
    ['an empty one', ['Authorization: Bearer ']],
    ['it without a scheme', [`Authorization: ${TOKEN}`]],
    ['it by another scheme', [`Authorization: Digest ${TOKEN}`]],
    ['it as the user of Basic', [basic(`${TOKEN}:`)]],
    ['what is no base64', ['Authorization: Basic %%%']],
    ['it after another', ['Authorization: Bearer nonsense', `Authorization: Bearer ${TOKEN}`]],
    ['it in the wrong header', [`X-Token: ${TOKEN}`]],
  ])('refuses whoever sends %s with a 401 that says how to send it', async (_what, headers) => {
    const response = await ask(port, headers);
    expectRefusal(response, 401);
    expect(response.body).toMatch(/Authorization: Bearer TOKEN.*http:\/\/x:TOKEN@/);
    expect(response.headers['www-authenticate']).toMatch(/^Basic realm=/);
    expect(JSON.stringify(response)).not.toContain(TOKEN);
  });

  it('refuses it in the query, where logs would keep it', async () => {
    expectRefusal(await rawRequest(port, [`GET ${PATH}?token=${TOKEN} HTTP/1.1`, 'Host: localhost']), 401);
  });
});

describe.each(DOORS)('access: { authorize }, %s', (door) => {
  const asked: AccessRequest[] = [];
  let answer: (request: AccessRequest) => unknown = () => true;
  let port = 0;
  beforeAll(async () => {
    const authorize = (request: AccessRequest) => {
      asked.push(request);
      return answer(request) as boolean;
    };
    port = (await open({ access: { authorize } }))[door];
  });

  it.each<[string, () => unknown]>([
    ['true', () => true],
    ['a promise of true', () => Promise.resolve(true)],
  ])('answers on %s, from anywhere', async (_what, hook) => {
    answer = hook;
    expect((await ask(port, ['X-Forwarded-For: 192.0.2.60'], { host: 'shop.example.com' })).status).toBe(200);
  });

  it.each<[string, () => unknown]>([
    ['false', () => false],
    ['a promise of false', () => Promise.resolve(false)],
    [
      'a throw',
      () => {
        throw new Error('the directory at ldap.internal is down');
      },
    ],
    ['a rejection', () => Promise.reject(new Error('the directory at ldap.internal is down'))],
    ['nothing', () => undefined],
    ['a promise of nothing', () => Promise.resolve()],
    ['a user, which is no answer', () => ({ name: 'ada' })],
    ['1', () => 1],
    ['"true"', () => 'true'],
  ])('refuses on %s', async (_what, hook) => {
    answer = hook;
    const response = await ask(port);
    expectRefusal(response);
    expect(response.body).not.toContain('ldap');
  });

  it('tells the hook who asks and for what', async () => {
    answer = () => true;
    await rawRequest(port, [`HEAD ${PATH}?gc=1 HTTP/1.1`, 'Host: localhost', 'X-User: ada', 'X-User: bob']);
    expect(asked.at(-1)).toEqual({
      method: 'HEAD',
      url: `${PATH}?gc=1`,
      headers: { host: 'localhost', 'x-user': ['ada', 'bob'], connection: 'close' },
      remoteAddress: '127.0.0.1',
    });
  });
});

describe.each(DOORS)("another site's page, %s", (door) => {
  const BEARER = `Authorization: Bearer ${TOKEN}`;
  const HOST = 'shop.example.com';
  const ports: Record<string, number> = {};
  beforeAll(async () => {
    const hook = { authorize: () => true };
    for (const [name, access] of Object.entries({ token: { token: TOKEN }, hook, public: 'public' } as const))
      ports[name] = (await open({ access }))[door];
  });

  const send = async (access: string, method: string, headers: readonly string[]): Promise<RawResponse> => {
    const path = method === 'POST' ? '/debug/pprof/symbol' : PATH;
    const head = [`${method} ${path} HTTP/1.1`, `Host: ${HOST}`, BEARER, 'Content-Length: 0'];
    return rawRequest(ports[access] as number, [...head, ...headers]);
  };

  const FOREIGN = [
    'Sec-Fetch-Site: cross-site',
    'Sec-Fetch-Site: same-site',
    'Origin: http://evil.com',
    'Origin: https://shop.example.com.evil.com',
    'Origin: http://shop.example.com:8080',
    'Origin: null',
  ];

  it.each(['token', 'hook'])('gets nothing with the password that the browser knows: %s', async (access) => {
    for (const header of FOREIGN) {
      for (const method of ['GET', 'HEAD', 'POST']) {
        const { status, body } = await send(access, method, [header]);
        expect([header, method, status]).toEqual([header, method, 403]);
        if (method !== 'HEAD')
          expect(body).toMatch(/^closed: the request was sent by another site's page\. /);
      }
    }
  });

  it('may read what is public, and post nothing', async () => {
    for (const header of FOREIGN) {
      expect([header, (await send('public', 'GET', [header])).status]).toEqual([header, 200]);
      expect([header, (await send('public', 'POST', [header])).status]).toEqual([header, 403]);
    }
  });

  it.each(['token', 'hook', 'public'])('does not keep pages of our own out: %s', async (access) => {
    for (const headers of [
      [],
      ['Sec-Fetch-Site: none'],
      ['Sec-Fetch-Site: same-origin'],
      [`Origin: http://${HOST}`],
      [`Origin: https://${HOST}`, 'Sec-Fetch-Site: same-origin'],
    ]) {
      for (const method of ['GET', 'POST']) {
        const { status } = await send(access, method, headers);
        expect([headers, method, status]).toEqual([headers, method, 200]);
      }
    }
  });
});

describe.each(DOORS)("access: 'public', %s", (door) => {
  it('answers everybody', async () => {
    const port = (await open({ access: 'public' }))[door];
    const headers = ['X-Forwarded-For: 192.0.2.60', 'Origin: http://evil.com', 'Sec-Fetch-Site: cross-site'];
    expect((await ask(port, headers, { host: 'shop.example.com' })).status).toBe(200);
    expect((await ask(port, headers, { host: 'shop.example.com', version: '1.0' })).status).toBe(200);
  });
});
