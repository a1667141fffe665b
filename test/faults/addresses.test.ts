/** An address that the standalone server cannot have, or must not: the app goes on, and is told of it. */
import { Profiler } from '@loopprof/core';
import { profilingMiddleware } from '@loopprof/express';
import express from 'express';
import { startService } from '../support/child.js';
import { fetchProfile } from '../support/fetch.js';
import { listen } from '../support/listen.js';
import { keepingLogger } from '../support/logger.js';

const TOKEN = 'correct-horse-battery-staple';

describe('an address for the server', () => {
  it.each([
    ['that is taken', async () => await takenPort(), /EADDRINUSE/],
    ['that is not of this machine', () => Promise.resolve('203.0.113.7:0'), /EADDRNOTAVAIL|ENETUNREACH/],
  ])(
    '%s is logged by its field and shown on the index page, while all else goes on',
    async (_what, address, reason) => {
      const httpAddr = await address();
      const logger = keepingLogger();
      const profiler = new Profiler({ httpAddr, access: { token: TOKEN } }, logger);
      await expect(profiler.start()).resolves.toBeUndefined();
      const app = await listen(express().use(profilingMiddleware({ profiler, access: 'loopback' })));
      try {
        expect(profiler.address).toBeUndefined();
        const [error, ...others] = logger.messages('error');
        expect(others).toEqual([]);
        expect(error).toContain(`httpAddr '${httpAddr}'`);
        expect(error).toMatch(reason);

        const index = await (await fetch(`${app.origin}/debug/pprof/`)).text();
        expect(index).toMatch(/Degraded: [^<]*httpAddr/);
        expect(index).toContain(httpAddr);
        expect((await fetchProfile(`${app.origin}/debug/pprof/profile?seconds=1`)).durationMs).toBe(1000);
      } finally {
        await app.close();
        await profiler.stop();
        await Promise.all(takers.splice(0).map((close) => close()));
      }
    },
  );

  it.each([':0', '0.0.0.0:0', '[::]:0'])(
    'that other machines could reach ("%s") rejects the start while nothing protects it',
    async (httpAddr) => {
      const profiler = new Profiler({ httpAddr });
      await expect(profiler.start()).rejects.toMatchObject({
        code: 'LOOPPROF_INVALID_CONFIG',
        message: expect.stringMatching(/can be reached from other machines.*access: \{ token \}/) as string,
      });
      const guarded = new Profiler({ httpAddr, access: { token: TOKEN } });
      await guarded.start();
      try {
        const port = new URL(guarded.address as string).port;
        expect((await fetch(`http://127.0.0.1:${port}/debug/pprof/heap`)).status).toBe(401);
      } finally {
        await guarded.stop();
      }
    },
  );

  it.each(['nonsense', 'localhost:99999', 'http://localhost:6060', ''])(
    'that is malformed ("%s") rejects the start, by its field',
    async (httpAddr) => {
      const profiler = new Profiler({ httpAddr });
      await expect(profiler.start()).rejects.toMatchObject({
        name: 'LoopprofError',
        code: 'LOOPPROF_INVALID_CONFIG',
        message: expect.stringMatching(/`httpAddr` must be 'host:port'/) as string,
      });
      expect([profiler.running, profiler.address]).toEqual([false, undefined]);
    },
  );

  it('that is malformed leaves the app alive: its middleware prints a warning and its routes say why', async () => {
    const service = await startService('mounted.cjs', { args: ['{"httpAddr":"nonsense"}'] });
    try {
      expect(await (await fetch(service.url)).text()).toBe('the app');
      for (const path of ['', 'profile', 'heap']) {
        const response = await fetch(`${service.url}/debug/pprof/${path}`);
        expect([path, response.status, response.headers.get('x-go-pprof')]).toEqual([path, 500, '1']);
        expect(await response.text()).toMatch(/^`httpAddr` must be 'host:port'.*'nonsense'/);
      }
      expect(service.stderr()).toMatch(/LoopprofWarning: `httpAddr` must be 'host:port'/);
      expect(service.stderr().match(/LoopprofWarning/g)).toHaveLength(1);
    } finally {
      await service.stop();
    }
  });

  const takers: (() => Promise<void>)[] = [];
  async function takenPort(): Promise<string> {
    const taker = await listen(() => {});
    takers.push(() => taker.close());
    return `127.0.0.1:${taker.port}`;
  }
});
