/** The routes beside the profiles that are text: symbol, which pprof posts to, and cmdline. */
import type { RequestListener } from 'node:http';
import { runInThisContext } from 'node:vm';
import { Profiler } from '@loopprof/core';
import { pprofRouter, profilingMiddleware as expressMiddleware } from '@loopprof/express';
import { profilerPlugin } from '@loopprof/fastify';
import { profilingMiddleware as koaMiddleware } from '@loopprof/koa';
import express from 'express';
import Fastify from 'fastify';
import Koa from 'koa';
import { startService } from '../support/child.js';
import { listen, type Listening } from '../support/listen.js';

const profiler = new Profiler({ httpAddr: 'localhost:0', memorySampleBytes: 65_536 });
const servers: Listening[] = [];

async function serve(app: RequestListener): Promise<string> {
  const server = await listen(app);
  servers.push(server);
  return `${server.origin}/debug/pprof`;
}

const SITES: Record<string, () => Promise<string>> = {
  'the standalone server': () => Promise.resolve(profiler.address?.replace(/\/$/, '') ?? 'not listening'),
  Express: () => serve(express().use(expressMiddleware({ profiler }))),
  'an Express router behind body parsers': () =>
    serve(
      express()
        .use(express.json(), express.raw(), express.text())
        .use('/debug/pprof', pprofRouter({ profiler })),
    ),
  Koa: () => {
    const handle = new Koa().use(koaMiddleware({ profiler })).callback();
    return serve((req, res) => void handle(req, res));
  },
  Fastify: async () => {
    const fastify = Fastify();
    await fastify.register(profilerPlugin, { profiler });
    await fastify.ready();
    return serve((req, res) => fastify.routing(req, res));
  },
};

type Allocate = (rest: readonly Allocate[]) => number[];

/** Each calls the next one, and the last allocates: so many frames the heap profile has, whatever else is in it. */
const chain = Array.from(
  { length: 12 },
  (_, n) =>
    runInThisContext(
      `(function link${n}(rest) { return rest.length > 0 ? rest[0](rest.slice(1)) : new Array(5000).fill(${n}); })`,
    ) as Allocate,
);
const [firstLink, ...otherLinks] = chain as [Allocate, ...Allocate[]];
let kept: number[][] = [];

beforeAll(async () => {
  await profiler.start();
  kept = Array.from({ length: 200 }, () => firstLink(otherLinks));
});
afterAll(async () => {
  await Promise.all(servers.map((server) => server.close()));
  await profiler.stop();
});

/** As pprof does. */
const post = (url: string, body: string): Promise<Response> =>
  fetch(url, { method: 'POST', body, headers: { 'Content-Type': 'application/octet-stream' } });

describe.each(Object.keys(SITES))('symbol, %s', (name) => {
  let base = '';
  let addresses: string[] = [];
  beforeAll(async () => {
    base = await (SITES[name] as () => Promise<string>)();
    const heap = await (await fetch(`${base}/heap?debug=1`)).text();
    addresses = [...new Set(heap.match(/(?<=^#\t)0x[0-9a-f]+/gm))];
  });

  it('names every address that a text profile holds, posted or in the query', async () => {
    expect(kept).toHaveLength(200);
    expect(addresses.length).toBeGreaterThan(10);
    for (const response of [
      await post(`${base}/symbol`, addresses.join('+')),
      await fetch(`${base}/symbol?${addresses.join('+')}`),
    ]) {
      expect([response.status, response.headers.get('content-type')]).toEqual([
        200,
        'text/plain; charset=utf-8',
      ]);
      const [first, ...lines] = (await response.text()).trimEnd().split('\n');
      expect(first).toBe('num_symbols: 1');
      expect(lines.map((line) => line.split(' ')[0])).toEqual(addresses);
      expect(lines.filter((line) => !/^0x[0-9a-f]+ \S/.test(line))).toEqual([]);
    }
  });

  it('answers HEAD with nothing, and an empty body with no names', async () => {
    const head = await fetch(`${base}/symbol`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
    expect(await (await post(`${base}/symbol`, '')).text()).toBe('num_symbols: 1\n');
  });

  it('refuses other methods', async () => {
    const response = await fetch(`${base}/symbol`, { method: 'PUT', body: 'x' });
    expect([response.status, response.headers.get('allow'), await response.text()]).toEqual([
      405,
      'GET, HEAD, POST',
      'PUT is not allowed here: use GET, HEAD or POST.\n',
    ]);
  });
});

it('symbol refuses a body that no profile needs, and goes on serving', async () => {
  const base = profiler.address as string;
  const response = await post(`${base}symbol`, '0x1+'.repeat(1_000_000));
  expect(response.status).toBe(400);
  expect(await response.text()).toMatch(/^The body is larger than \d+ bytes/);
  expect((await post(`${base}symbol`, '0x1')).status).toBe(200);
});

describe('cmdline', () => {
  it('is closed unless it is named, with the field to set', async () => {
    const response = await fetch(`${profiler.address as string}cmdline`);
    expect([response.status, await response.text()]).toEqual([
      404,
      'cmdline is served only when it is named: set `sensitive: { cmdline: true }`.\n',
    ]);
    expect((await fetch(`${profiler.address as string}cmdline`, { method: 'HEAD' })).status).toBe(404);
    expect(await (await fetch(profiler.address as string)).text()).toContain('cmdline is served only when');
  });

  it('is the command line, joined by NUL, without secrets', async () => {
    const config = JSON.stringify({ sensitive: { cmdline: true } });
    const service = await startService('host.cjs', {
      args: [config, '', '--port', '80', '--db-password', 'hunter2', '--api-key=hunter2'],
      nodeArgs: ['--no-warnings'],
    });
    try {
      const response = await fetch(`${service.url}/cmdline`);
      const args = (await response.text()).split('\0');
      expect(response.headers.get('content-type')).toBe('text/plain; charset=utf-8');
      expect(args.slice(1)).toEqual([
        '--no-warnings',
        expect.stringMatching(/\/host\.cjs$/),
        config,
        '',
        '--port',
        '80',
        '--db-password',
        '(redacted)',
        '--api-key=(redacted)',
      ]);
    } finally {
      await service.stop();
    }
  });
});
