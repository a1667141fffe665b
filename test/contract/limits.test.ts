/** What one client may cost the process, and what is told of who asks. */
import crypto from 'node:crypto';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Profiler, servePprof, type PprofHandler } from '@loopprof/core';
import { openDoors, type Door, type Doors } from '../support/doors.js';
import { listen } from '../support/listen.js';
import { keepingLogger, type LogLine } from '../support/logger.js';
import { rawRequest } from '../support/raw.js';

const TOKEN = 'open-sesame:4711-0815';

const closers: (() => Promise<unknown>)[] = [];
afterEach(() => Promise.all(closers.splice(0).map((close) => close())));

async function start(
  config: object,
  logger = keepingLogger(),
): Promise<{ address: string; logger: typeof logger }> {
  const profiler = new Profiler({ httpAddr: 'localhost:0', enableCPU: false, ...config }, logger);
  await profiler.start();
  closers.push(() => profiler.stop());
  return { address: profiler.address as string, logger };
}

describe('captures at one time', () => {
  it('are 64 for all doors together; more are told when to come again, and others go on', async () => {
    const open: Doors = await openDoors({ access: 'loopback', enableCPU: false });
    closers.push(() => open.close());
    const client = new AbortController();
    const ask = ({ port, base }: Door, query: string) =>
      fetch(`http://127.0.0.1:${port}${base}/heap${query}`, { signal: client.signal });
    // The standalone server is the sidecar's.
    expect(open.doors.map(({ name }) => name)).toContain('standalone');
    // One that finds no place, because of what is asked below, tries again.
    const hold = async (door: Door): Promise<void> => {
      while (!client.signal.aborted) {
        await ask(door, '?seconds=300').catch(() => {});
        await sleep(20);
      }
    };
    const running = Array.from({ length: 64 }, (_, index) =>
      hold(open.doors[index % open.doors.length] as Door),
    );
    for (const door of open.doors) {
      let refused = await ask(door, '');
      for (let attempt = 0; refused.status === 200 && attempt < 100; attempt++) {
        await sleep(20);
        refused = await ask(door, '');
      }
      expect([refused.status, refused.headers.get('retry-after'), refused.headers.get('x-go-pprof')]).toEqual(
        [429, '1', '1'],
      );
      expect(await refused.text()).toBe('64 captures run already: try again in 1 s.\n');
      const url = `http://127.0.0.1:${door.port}${door.base}`;
      expect((await fetch(`${url}/runtime`)).status).toBe(429);
      expect((await fetch(`${url}/snapshot`, { method: 'POST' })).status).toBe(429);
      expect((await fetch(`${url}/`)).status).toBe(200);
    }
    client.abort();
    await Promise.all(running);
    const door = open.doors[0] as Door;
    const again = () => fetch(`http://127.0.0.1:${door.port}${door.base}/heap`);
    for (let attempt = 0; (await again()).status === 429 && attempt < 100; attempt++) await sleep(20);
    expect((await again()).status).toBe(200);
  });
});

describe('guessing tokens', () => {
  it('is slowed down at every door, which the right one still opens', async () => {
    const open = await openDoors({ enableCPU: false, access: { token: TOKEN } });
    closers.push(() => open.close());
    let wrong = 0;
    for (const { name, port, base } of open.doors) {
      const ask = (...headers: string[]) =>
        rawRequest(port, [`GET ${base}/heap HTTP/1.1`, 'Host: x', ...headers]);
      const guess = (token: string) => ask(`Authorization: Bearer ${token}`);
      for (let index = 0; index < 12; index++) {
        if ((await guess(`guess-${index}-0123456789`)).status === 401) wrong += 1;
      }
      // The wait of earlier guesses may just be over. Then this guess begins the next one, which is twice as long.
      let slowed = await guess('guess-again-0123456789');
      if (slowed.status === 401) {
        wrong += 1;
        slowed = await guess('guess-again-0123456789');
      }
      expect([name, slowed.status, slowed.headers['retry-after']]).toEqual([
        name,
        429,
        expect.stringMatching(/^\d+$/),
      ]);
      expect(slowed.body).toMatch(/^closed: too many wrong tokens from this address: wait \d+ s\.\n$/);
      // Behind a proxy all clients have one address. A browser sends the password only when it is asked to.
      expect([name, (await ask()).status, (await guess(TOKEN)).status]).toEqual([name, 401, 200]);
    }
    // Ten for the standalone server; ten for the mounts, which all ask by the profiler's own token; and one whenever a wait is over.
    expect(wrong).toBeGreaterThanOrEqual(20);
    expect(wrong).toBeLessThan(40);
  });

  it('is over after the wait', async () => {
    const { address } = await start({ access: { token: TOKEN } });
    const guess = () => fetch(`${address}heap`, { headers: { authorization: 'Bearer wrong-0123456789abc' } });
    for (let index = 0; index < 10; index++) expect((await guess()).status).toBe(401);
    expect((await guess()).status).toBe(429);
    await sleep(1100);
    expect((await guess()).status).toBe(401);
  });

  it('does not begin by asking without one', async () => {
    const { address } = await start({ access: { token: TOKEN } });
    for (let attempt = 0; attempt < 30; attempt++) expect((await fetch(`${address}heap`)).status).toBe(401);
    expect((await fetch(`${address}heap`, { headers: { authorization: `Bearer ${TOKEN}` } })).status).toBe(
      200,
    );
  });

  it('is not helped by the time that an answer takes: whatever is sent, digests are compared, to their end', async () => {
    const profiler = new Profiler({ enableHTTP: false, enableCPU: false, enableMemory: false });
    await profiler.start();
    closers.push(() => profiler.stop());
    const handler = profiler.createHandler({ access: { token: TOKEN } });
    const ask = async (token: string): Promise<number> => {
      const { status } = await handler({
        method: 'GET',
        url: '/runtime',
        path: '/runtime',
        headers: { authorization: `Bearer ${token}` },
        httpVersion: '1.1',
        remoteAddress: '192.0.2.1',
      });
      return status;
    };
    const compare = jest.spyOn(crypto, 'timingSafeEqual');
    try {
      const guesses = [TOKEN, TOKEN.slice(0, -1), `${TOKEN.slice(0, -1)}x`, `x${TOKEN.slice(1)}`, 'x'];
      // Those that come during the wait are no exception.
      for (const guess of [...guesses, ...guesses, ...guesses]) {
        compare.mockClear();
        expect([guess, (await ask(guess)) === 200]).toEqual([guess, guess === TOKEN]);
        const sizes = compare.mock.calls.map((pair) => pair.map(({ byteLength }) => byteLength));
        expect([guess, sizes]).toEqual([guess, [[32, 32]]]);
      }
    } finally {
      compare.mockRestore();
    }
  });
});

describe('a reader that takes nothing', () => {
  afterEach(() => jest.useRealTimers());

  it('is dropped, and what it was to get let go', async () => {
    const body = Buffer.alloc(64 * 1024 * 1024);
    const handler: PprofHandler = () => Promise.resolve({ status: 200, headers: {}, body });
    let served = () => {};
    const answered = new Promise<void>((resolve) => (served = resolve));
    jest.useFakeTimers({
      doNotFake: [
        'nextTick',
        'setImmediate',
        'clearImmediate',
        'queueMicrotask',
        'performance',
        'Date',
        'hrtime',
      ],
    });
    const server = await listen((req, res) => {
      void servePprof(handler, { req, res }, { path: '/heap', url: '/heap' }).then(served);
    });
    closers.push(() => server.close());
    const socket = connect(server.port, '127.0.0.1').pause();
    socket.on('error', () => {});
    socket.write('GET /heap HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await answered;
    expect(await server.connections()).toBe(1);
    jest.advanceTimersByTime(30_000 + (body.length / 16_384) * 1000 - 1);
    await new Promise(setImmediate);
    expect(await server.connections()).toBe(1);
    jest.advanceTimersByTime(2);
    jest.useRealTimers();
    for (let attempt = 0; (await server.connections()) > 0 && attempt < 100; attempt++) await sleep(20);
    expect(await server.connections()).toBe(0);
    socket.destroy();
  });
});

describe('every answer', () => {
  it('is kept out of caches, frames, other sites and guesses, at every door', async () => {
    const open = await openDoors({ access: 'loopback', enableCPU: false });
    closers.push(() => open.close());
    for (const { name, port, base } of open.doors) {
      for (const path of [
        '',
        '/',
        '/heap',
        '/heap?debug=1',
        '/runtime',
        '/profile',
        '/nothing',
        '/heap?seconds=x',
      ]) {
        for (const host of ['localhost', 'evil.example']) {
          const { headers } = await rawRequest(port, [`GET ${base}${path} HTTP/1.1`, `Host: ${host}`]);
          expect([name, path, headers]).toEqual([
            name,
            path,
            expect.objectContaining({
              'x-content-type-options': 'nosniff',
              'cache-control': 'no-store',
              'cross-origin-resource-policy': 'same-origin',
              'referrer-policy': 'no-referrer',
              'content-security-policy': expect.stringMatching(
                /^default-src 'none'.*frame-ancestors 'none'$/,
              ) as string,
            }),
          ]);
        }
      }
    }
  });
});

describe('the log', () => {
  const about = (logger: { lines: LogLine[] }, words: RegExp) =>
    logger.lines
      .filter(({ message }) => words.test(message))
      .map(({ level, details }) => ({ level, ...details }));

  it('has a line for each capture: who, what, bytes, time', async () => {
    const { address, logger } = await start({});
    const response = await fetch(`${address}heap`, { headers: { 'user-agent': 'a scraper' } });
    const sizeBytes = (await response.arrayBuffer()).byteLength;
    expect(about(logger, /captured/)).toEqual([
      {
        level: 'info',
        profile: 'heap',
        remoteAddress: '127.0.0.1',
        userAgent: 'a scraper',
        sizeBytes,
        durationMs: expect.any(Number) as number,
      },
    ]);
  });

  it('has one, too, for whoever reads the stack or the command line or has a snapshot taken, and of what is polled to debug', async () => {
    const { address, logger } = await start({ sensitive: { cmdline: true, trace: false } });
    const bytes: Record<string, number> = {};
    const rows = [
      ...['stack', 'cmdline'].map((name) => [name, 'GET', 'info'] as const),
      ['snapshot', 'POST', 'info'] as const,
      ...['requests', 'gc', 'runtime', 'stalls', 'symbol'].map((name) => [name, 'GET', 'debug'] as const),
    ];
    for (const [name, method] of rows) {
      const response = await fetch(`${address}${name}`, { method, headers: { 'user-agent': 'a scraper' } });
      bytes[name] = (await response.arrayBuffer()).byteLength;
    }
    // The sidecar tells of them by message.
    for (let attempt = 0; about(logger, /profile captured/).length < rows.length && attempt < 100; attempt++)
      await sleep(20);
    expect(about(logger, /profile captured/)).toEqual(
      rows.map(([profile, , level]) => ({
        level,
        profile,
        remoteAddress: '127.0.0.1',
        userAgent: 'a scraper',
        sizeBytes: bytes[profile],
        durationMs: expect.any(Number) as number,
      })),
    );
  });

  it('has one for a capture that its client gave up', async () => {
    const { address, logger } = await start({});
    const client = new AbortController();
    const running = fetch(`${address}heap?seconds=300`, { signal: client.signal }).catch(() => undefined);
    await fetch(`${address}heap`);
    client.abort();
    await running;
    for (let attempt = 0; about(logger, /not captured/).length === 0 && attempt < 100; attempt++)
      await sleep(20);
    expect(about(logger, /not captured/)).toEqual([
      expect.objectContaining({ level: 'info', profile: 'heap', reason: 'LOOPPROF_ABORTED' }),
    ]);
  });

  it('says that somebody was refused, once a minute, and never which token was tried', async () => {
    const { address, logger } = await start({ access: { token: TOKEN } });
    const guess = 'guess-0123456789-abc';
    for (let attempt = 0; attempt < 5; attempt++) {
      await fetch(`${address}heap`, { headers: { authorization: `Bearer ${guess}` } });
    }
    expect(about(logger, /refused/)).toEqual([
      expect.objectContaining({ level: 'warn', remoteAddress: '127.0.0.1', code: 'LOOPPROF_UNAUTHORIZED' }),
    ]);
    expect(JSON.stringify(logger.lines)).not.toContain(guess);
    expect(JSON.stringify(logger.lines)).not.toContain(TOKEN);
  });

  it('says why authorize failed, which the client is not told', async () => {
    const failure = new Error('the directory at ldap.internal is down');
    const { address, logger } = await start({ access: { authorize: () => Promise.reject(failure) } });
    expect(await (await fetch(`${address}heap`)).text()).toBe('closed: refused by access.authorize.\n');
    expect(about(logger, /refused/)).toEqual([
      expect.objectContaining({
        level: 'warn',
        err: expect.objectContaining({ message: failure.message }) as object,
      }),
    ]);
  });
});
