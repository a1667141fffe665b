/** Whatever is sent: no crash, no hang, no answer that is not one of ours, and nobody in who does not belong. */
import { connect } from 'node:net';
import { Profiler, type PprofHandler, type PprofRequest, type PprofResponse } from '@loopprof/core';
import fc from 'fast-check';
import { openDoors, type Doors } from '../support/doors.js';
import { budget, fuzzTimeoutMs } from '../support/fuzz.js';
import { rawRequest } from '../support/raw.js';

const STATUSES = [200, 301, 400, 401, 403, 404, 405, 429, 499, 501, 503];

/** What a request may wait for, so that none waits long. */
const GIVE_UP_MS = 30;

const words = fc.constantFrom(
  'heap',
  'profile',
  'cpu',
  'gc',
  'runtime',
  'requests',
  'allocs',
  'block',
  'mutex',
  'goroutine',
  'trace',
  'cmdline',
  'symbol',
  'debug',
  'pprof',
  '..',
  '.',
  '%2e%2e',
  '%2f',
  '%00',
  '',
  '\\',
  ';',
  '__proto__',
  'constructor',
);
const text = fc.oneof(words, fc.string({ unit: 'binary', maxLength: 40 }), fc.string({ maxLength: 40 }));
const path = fc.array(text, { maxLength: 6 }).map((parts) => parts.map((part) => `/${part}`).join(''));
const value = fc.oneof(
  fc.constantFrom(
    '1',
    '0',
    '-1',
    '1e9',
    '0x10',
    '30',
    '301',
    'now',
    'now-1s',
    'now-1e9s',
    'NaN',
    '',
    '１',
    '+1',
    '1.5',
  ),
  fc.integer().map(String),
  fc.double().map(String),
  fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  text,
);
const query = fc
  .array(fc.tuple(fc.oneof(fc.constantFrom('seconds', 'debug', 'gc', 'from', 'to', 'rate'), text), value), {
    maxLength: 5,
  })
  .map((pairs) => pairs.map(([name, given]) => `${name}=${given}`).join('&'));
const headerName = fc.oneof(
  fc.constantFrom(
    'host',
    'origin',
    'authorization',
    'sec-fetch-site',
    'x-forwarded-for',
    'user-agent',
    'via',
  ),
  fc.string({ minLength: 1, maxLength: 20 }),
);
const headerValue = fc.oneof(
  fc.constantFrom('localhost', '127.0.0.1', 'null', 'same-origin', 'Bearer ', 'Basic Og==', 'Basic %%%'),
  text,
  fc.array(text, { maxLength: 3 }),
  fc.constant(undefined),
);
const request = fc.record({
  method: fc.oneof(fc.constantFrom('GET', 'HEAD', 'POST', 'OPTIONS', 'get'), text),
  path,
  query,
  headers: fc.dictionary(headerName, headerValue, { maxKeys: 6 }),
  remoteAddress: fc.option(
    fc.oneof(fc.constantFrom('127.0.0.1', '::1', '::ffff:127.0.0.1'), fc.ipV4(), fc.ipV6(), text),
    { nil: undefined },
  ),
  httpVersion: fc.constantFrom('1.1', '1.0', '2.0', ''),
});

type Sent = Omit<PprofRequest, 'url' | 'signal'> & { query: string };

async function answered(handler: PprofHandler, { query: asked, ...sent }: Sent): Promise<PprofResponse> {
  const client = new AbortController();
  const timer = setTimeout(() => client.abort(), GIVE_UP_MS);
  try {
    const url = asked === '' ? sent.path : `${sent.path}?${asked}`;
    return await handler({ ...sent, url, signal: client.signal });
  } finally {
    clearTimeout(timer);
  }
}

/** What no answer may be. */
function checkAnswer({ status, headers, body }: PprofResponse): void {
  expect(STATUSES).toContain(status);
  expect(headers['X-Content-Type-Options']).toBe('nosniff');
  for (const [name, given] of Object.entries(headers)) {
    if (name !== 'Location') expect(given).toMatch(/^[\t\x20-\x7e]*$/);
  }
  if (status < 400) return;
  expect(typeof body === 'string' && body.length < 1000).toBe(true);
  expect(body).not.toMatch(/\n\s+at |node_modules/);
  expect(body).not.toContain(process.cwd());
}

describe('the handler', () => {
  const profiler = new Profiler({ enableHTTP: false, maxSeconds: 1 });
  beforeAll(() => profiler.start());
  afterAll(() => profiler.stop());

  it(
    'answers any request with a status of ours, soon',
    async () => {
      const handler = profiler.createHandler({ access: 'public' });
      await fc.assert(
        fc.asyncProperty(request, async (sent) => checkAnswer(await answered(handler, sent))),
        budget(),
      );
    },
    fuzzTimeoutMs,
  );

  it(
    'lets in by loopback only what is local by every sign of it',
    async () => {
      const handler = profiler.createHandler({ access: 'loopback' });
      const byHand = ({ remoteAddress = '', headers, path: below, httpVersion }: Sent): boolean => {
        const { host } = headers;
        const local = /^(?:::1|(?:::ffff:)?127(?:\.\d{1,3}){3})$/i.test(remoteAddress);
        const named =
          typeof host === 'string' && /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i.test(host);
        const marked = Object.keys(headers).some((name) => /forwarded|^via$|-ip$/.test(name));
        return local && named && !marked && httpVersion !== '1.0' && below.startsWith('/');
      };
      await fc.assert(
        fc.asyncProperty(request, async (sent) => {
          const answer = await answered(handler, sent);
          checkAnswer(answer);
          if (!byHand(sent)) expect(answer.status).toBe(403);
        }),
        budget(),
      );
    },
    fuzzTimeoutMs,
  );

  it(
    'lets nobody in without the token, whatever is sent for it',
    async () => {
      const token = 'correct-horse-battery-staple';
      const likeIt = fc.oneof(
        text,
        fc.constantFrom(token.slice(1), `${token} `, token.toUpperCase(), `${token}\0`, ` ${token}x`),
      );
      const scheme = fc.constantFrom('Bearer', 'bearer', 'Basic', 'Digest', '');
      await fc.assert(
        fc.asyncProperty(request, scheme, likeIt, async (sent, name, credentials) => {
          fc.pre(credentials.trim() !== token);
          const handler = profiler.createHandler({ access: { token } });
          const authorization = [
            `${name} ${credentials}`,
            `${name} ${Buffer.from(`x:${credentials}`).toString('base64')}`,
          ];
          for (const header of authorization) {
            const answer = await answered(handler, {
              ...sent,
              headers: { ...sent.headers, authorization: header },
            });
            checkAnswer(answer);
            // 403: what a page of another site would send.
            expect([401, 403, 429]).toContain(answer.status);
          }
        }),
        budget(),
      );
    },
    fuzzTimeoutMs,
  );
});

describe('every door', () => {
  let open: Doors;
  beforeAll(async () => {
    open = await openDoors({ enableCPU: false, maxSeconds: 1, access: 'loopback' });
  });
  afterAll(() => open.close());

  const line = fc.oneof(
    fc.constantFrom(
      'Host: localhost',
      'Host: evil.example',
      'Content-Length: 0',
      'Content-Length: 5',
      'Expect: x',
    ),
    fc.constantFrom('Transfer-Encoding: chunked', 'Connection: Upgrade', 'Upgrade: h2c', 'Host:', ' folded'),
    fc.tuple(headerName, text).map(([name, given]) => `${name}: ${given}`),
    text,
  );
  const raw = fc.record({
    door: fc.nat(),
    method: fc.oneof(fc.constantFrom('GET', 'HEAD', 'POST', 'OPTIONS', 'CONNECT', 'PRI'), text),
    below: path,
    query,
    version: fc.constantFrom('HTTP/1.1', 'HTTP/1.0', 'HTTP/9', ''),
    lines: fc.array(line, { maxLength: 6 }),
    body: fc.uint8Array({ maxLength: 64 }),
  });

  it(
    'stands whatever bytes it is sent, and gives no 5xx that is not ours and nothing of the inside',
    async () => {
      await fc.assert(
        fc.asyncProperty(raw, async ({ door, method, below, query: asked, version, lines, body }) => {
          const { port, base } = open.doors[door % open.doors.length] as Doors['doors'][number];
          const head = [
            `${method} ${base}${below}?${asked} ${version}`,
            ...lines,
            'Connection: close',
            '',
            '',
          ];
          const text = await exchange(port, Buffer.concat([Buffer.from(head.join('\r\n'), 'latin1'), body]));
          const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1];
          if (text !== '') expect(status).toMatch(/^(?:[234]\d\d|501|503)$/);
          // What is ours says so: a failure of Node's, of a framework's or one that we have no code for does not.
          if (status?.startsWith('5')) {
            expect(text).toMatch(/^x-go-pprof: 1\r$/im);
            expect(text).not.toContain('failed to collect profile');
          }
          expect(text).not.toMatch(/\n\s+at |node_modules\//);
        }),
        budget(0.5),
      );
      for (const { port, base } of open.doors) {
        const { status } = await rawRequest(port, [`GET ${base}/heap HTTP/1.1`, 'Host: localhost']);
        expect(status).toBe(200);
      }
    },
    fuzzTimeoutMs,
  );

  /** What comes back until the server closes, or says nothing more. */
  function exchange(port: number, bytes: Buffer): Promise<string> {
    return new Promise((resolve) => {
      let received = '';
      const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
      const settle = (): void => {
        socket.destroy();
        resolve(received);
      };
      socket.setEncoding('latin1');
      // Half a request is waited for; a client that goes away is as good as any.
      socket.setTimeout(100, settle);
      socket.on('data', (chunk: string) => (received += chunk));
      socket.on('error', settle);
      socket.on('close', settle);
    });
  }
});
