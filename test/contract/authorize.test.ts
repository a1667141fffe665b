/** Hooks of the host's that decide who may read, and do not do it well. */
import { startService, type Service } from '../support/child.js';

const services: Service[] = [];
afterAll(() => Promise.all(services.map((each) => each.stop())));

interface Hooked {
  service: Service;
  app: string;
  /** Index pages of the mounted routes and of the standalone server. */
  doors: [string, string];
}

async function open(how: string): Promise<Hooked> {
  const service = await startService('hooked.cjs', { args: [how] });
  services.push(service);
  const [app = '', standalone = ''] = service.line.split(' ');
  return { service, app, doors: [`${app}/debug/pprof/`, standalone] };
}

const ask = async (url: string, signal?: AbortSignal): Promise<[number, string]> => {
  const response = await fetch(url, signal ? { signal } : {});
  return [response.status, await response.text()];
};

describe('a hook that rejects with', () => {
  it.each(['bare', 'revoked', 'getter', 'symbol', 'function'])(
    '%s refuses, and harms nobody',
    async (how) => {
      const { service, app, doors } = await open(how);
      for (const door of doors)
        expect(await ask(door)).toEqual([403, 'closed: refused by access.authorize.\n']);
      expect(await ask(app)).toEqual([200, 'asked 2 times']);
      expect([service.child.exitCode, service.stderr()]).toEqual([null, '']);
    },
  );
});

describe('a hook that never answers', () => {
  it.each([0, 1] as const)(
    'is asked for 64 requests at a time, more are refused at once, door %d',
    async (index) => {
      const { app, doors } = await open('never');
      const door = doors[index];
      const clients = new AbortController();
      let settled = 0;
      const waiting = Array.from({ length: 64 }, () =>
        ask(door, clients.signal)
          .catch(() => {})
          .finally(() => (settled += 1)),
      );
      while ((await ask(app))[1] !== 'asked 64 times');
      const refusal = await ask(door);
      expect([refusal, settled]).toEqual([[403, 'closed: refused by access.authorize.\n'], 0]);
      // Whoever goes away and comes again has no more places than whoever waits.
      clients.abort();
      await Promise.all(waiting);
      expect((await ask(door))[0]).toBe(403);
      expect(await ask(app)).toEqual([200, 'asked 64 times']);
    },
  );
});
