/** The standalone server on a Unix domain socket, which the file system guards. */
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Profiler } from '@loopprof/core';
import { startService } from '../support/child.js';
import { keepingLogger } from '../support/logger.js';

let room = '';
let path = '';
beforeEach(() => {
  room = mkdtempSync(join(tmpdir(), 'loopprof-socket-'));
  path = join(room, 'pprof.sock');
});
afterEach(() => rmSync(room, { recursive: true, force: true }));

async function withProfiler(run: (profiler: Profiler) => Promise<void>, config = {}): Promise<void> {
  const profiler = new Profiler({ httpAddr: `unix:${path}`, enableCPU: false, ...config });
  await profiler.start();
  try {
    await run(profiler);
  } finally {
    await profiler.stop();
  }
}

async function ask(
  headers: Record<string, string> = {},
  socketPath = path,
): Promise<{ status: number; body: string }> {
  const sent = request({ socketPath, path: '/debug/pprof/heap', headers, agent: false }).end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let body = '';
  response.setEncoding('latin1').on('data', (chunk: string) => (body += chunk));
  await once(response, 'end');
  return { status: response.statusCode as number, body };
}

it('answers its owner, and is only the owner’s, whatever the umask', async () => {
  const umask = process.umask(0);
  try {
    await withProfiler(async (profiler) => {
      expect(profiler.address).toBe(`unix:${path}`);
      expect(statSync(path).mode & 0o777).toBe(0o600);
      const { status, body } = await ask();
      expect([status, body.slice(0, 2)]).toEqual([200, '\x1f\x8b']);
      expect(readdirSync(room)).toEqual(['pprof.sock']);
    });
  } finally {
    process.umask(umask);
  }
});

it('is gone after stop(), and works again', async () => {
  for (let round = 1; round <= 2; round++) {
    await withProfiler(async () => expect((await ask()).status).toBe(200));
    expect(readdirSync(room)).toEqual([]);
  }
});

it.each([
  ['what a proxy has marked', { 'X-Forwarded-For': '127.0.0.1' }],
  ['another name', { Host: 'shop.example.com' }],
  ['another site’s page', { 'Sec-Fetch-Site': 'cross-site' }],
])('refuses %s', async (_what, headers) => {
  await withProfiler(async () => expect((await ask(headers)).status).toBe(403));
});

it('asks for the token where there is one', async () => {
  const token = 'open-sesame:4711-0815';
  await withProfiler(
    async () => {
      expect((await ask()).status).toBe(401);
      expect((await ask({ Authorization: `Bearer ${token}` })).status).toBe(200);
    },
    { access: { token } },
  );
});

it('takes the place of one that a dead process has left', async () => {
  const service = await startService('host.cjs', { args: [JSON.stringify({ httpAddr: `unix:${path}` })] });
  expect(service.line).toBe(`unix:${path}`);
  expect((await ask()).status).toBe(200);
  await service.stop();
  expect(existsSync(path)).toBe(true);
  await withProfiler(async (profiler) => {
    expect(profiler.address).toBe(`unix:${path}`);
    expect((await ask()).status).toBe(200);
  });
});

it('leaves the socket of a living process to it, the app alive and the reason in the log', async () => {
  await withProfiler(async () => {
    const logger = keepingLogger();
    const second = new Profiler({ httpAddr: `unix:${path}`, enableCPU: false }, logger);
    await second.start();
    try {
      expect(second.address).toBeUndefined();
      expect(logger.messages('error')).toEqual([
        expect.stringMatching(/EADDRINUSE: another process listens/),
      ]);
    } finally {
      await second.stop();
    }
    expect((await ask()).status).toBe(200);
    expect(readdirSync(room)).toEqual(['pprof.sock']);
  });
});

it.each(['a file', 'a missing folder'])(
  'leaves %s alone, the app alive and the reason in the log',
  async (what) => {
    if (what === 'a file') writeFileSync(path, 'mine');
    else path = join(room, 'missing', 'pprof.sock');
    const logger = keepingLogger();
    const profiler = new Profiler({ httpAddr: `unix:${path}`, enableCPU: false }, logger);
    await profiler.start();
    try {
      expect(profiler.address).toBeUndefined();
      expect(logger.messages('error')).toEqual([
        expect.stringMatching(/cannot listen on httpAddr 'unix:.*(?:not a socket|ENOENT)/),
      ]);
      expect(readdirSync(room)).toEqual(what === 'a file' ? ['pprof.sock'] : []);
    } finally {
      await profiler.stop();
    }
  },
);

it('does not take away what has taken its place', async () => {
  await withProfiler(() => {
    rmSync(path);
    writeFileSync(path, 'mine');
    return Promise.resolve();
  });
  expect(readdirSync(room)).toEqual(['pprof.sock']);
});
