/** An app behind real proxies of the same host, asked by somebody who is not on it. */
import { attacks, sendAll } from '../support/attacks.js';
import { startService, type Service } from '../support/child.js';
import { startNginx, type Nginx } from '../support/nginx.js';
import { rawRequest, type RawResponse } from '../support/raw.js';
import { describeWith } from '../support/tools.js';

const TOKEN = 'open-sesame:4711-0815';
const GZIP = '\x1f\x8b';

/** What somebody from outside may send; a proxy passes on all that it does not set itself. */
const DISGUISES: Record<string, string[]> = {
  'as it is': ['Host: shop.example.com'],
  'as localhost': ['Host: localhost'],
  'as 127.0.0.1': ['Host: 127.0.0.1'],
  'with headers of its own': [
    'Host: localhost',
    'X-Forwarded-For: 127.0.0.1',
    'Forwarded: for=127.0.0.1',
    'X-Real-IP: 127.0.0.1',
  ],
};

function ask(port: number, headers: readonly string[], path = '/debug/pprof/heap'): Promise<RawResponse> {
  return rawRequest(port, [`GET ${path} HTTP/1.1`, ...headers]);
}

async function serve(config: object, env: string): Promise<{ service: Service; target: string }> {
  const service = await startService('mounted.cjs', {
    args: [JSON.stringify({ enableCPU: false, ...config })],
    env: { NODE_ENV: env },
  });
  return { service, target: service.url };
}

interface Proxied {
  /** Its port, and whether it lets the app see that it is there. */
  port: number;
  shows: boolean;
}

/** What cannot be told from a local client: a proxy that adds nothing, and the Host of this machine. Hence the rule for production. */
function isUntold(proxy: string, { shows, disguise }: { shows: boolean; disguise: string }): boolean {
  if (shows || disguise === 'with headers of its own') return false;
  return disguise === 'as localhost' || disguise === 'as 127.0.0.1' || proxy.includes('own Host');
}

/** What has to hold behind each of them; `start` puts them in front of a target. */
function behind(
  start: (target: string) => Promise<{ proxies: Record<string, Proxied>; stop: () => Promise<unknown> }>,
): void {
  const open = async (config: object, env: string) => {
    const { service, target } = await serve(config, env);
    const { proxies, stop } = await start(target);
    return { proxies, stop: () => Promise.all([stop(), service.stop()]) };
  };

  it('in production nothing gets in, and the app is served', async () => {
    const { proxies, stop } = await open({}, 'production');
    try {
      for (const [proxy, { port }] of Object.entries(proxies)) {
        for (const [disguise, headers] of Object.entries(DISGUISES)) {
          const { status, body } = await ask(port, headers);
          expect([proxy, disguise, status]).toEqual([proxy, disguise, 403]);
          expect(body).toMatch(/^closed: NODE_ENV is production[^\n]*access: \{ token \}[^\n]*\n$/);
          expect((await ask(port, headers, '/')).body).toBe('the app');
        }
      }
    } finally {
      await stop();
    }
  });

  it('in production the table of attacks gets nothing, and the app is served', async () => {
    const { proxies, stop } = await open({}, 'production');
    try {
      for (const [proxy, { port }] of Object.entries(proxies)) {
        const door = { name: proxy, port, base: '/debug/pprof' };
        expect(await sendAll(door, attacks(door))).toEqual([]);
        expect((await ask(port, ['Host: localhost'], '/')).body).toBe('the app');
      }
    } finally {
      await stop();
    }
  });

  it('with a token it is the token that counts', async () => {
    const { proxies, stop } = await open({ access: { token: TOKEN } }, 'production');
    try {
      for (const [proxy, { port }] of Object.entries(proxies)) {
        for (const [disguise, headers] of Object.entries(DISGUISES)) {
          const without = await ask(port, headers);
          expect([proxy, disguise, without.status]).toEqual([proxy, disguise, 401]);
          const withToken = await ask(port, [...headers, `Authorization: Bearer ${TOKEN}`]);
          expect([proxy, disguise, withToken.body.slice(0, 2)]).toEqual([proxy, disguise, GZIP]);
        }
      }
    } finally {
      await stop();
    }
  });

  it.each([
    ['outside production', {}, 'development'],
    ["where access: 'loopback' is written out", { access: 'loopback' }, 'production'],
  ])('%s whoever comes through one that shows itself is refused', async (_where, config, env) => {
    const { proxies, stop } = await open(config, env);
    try {
      for (const [proxy, { port, shows }] of Object.entries(proxies)) {
        for (const [disguise, headers] of Object.entries(DISGUISES)) {
          if (isUntold(proxy, { shows, disguise })) continue;
          const { status } = await ask(port, headers);
          expect([proxy, disguise, status]).toEqual([proxy, disguise, 403]);
        }
      }
    } finally {
      await stop();
    }
  });
}

describeWith('nginx', 'Express behind nginx', () => {
  behind(async (target) => {
    const pass = `proxy_pass ${target};`;
    const current = `${pass} proxy_http_version 1.1; proxy_set_header Connection "";`;
    const servers: Record<string, { directives: string; shows: boolean }> = {
      // Its own Host, and the version that this nginx takes for itself: 1.1 since 1.29.7, 1.0 before.
      'as it comes, with its own Host': { directives: pass, shows: false },
      'as it came before 1.29.7: HTTP/1.0': { directives: `${pass} proxy_http_version 1.0;`, shows: true },
      'as it has come since: HTTP/1.1, with its own Host': { directives: current, shows: false },
      'with the Host of the client': {
        directives: `${current} proxy_set_header Host $http_host;`,
        shows: false,
      },
      'with X-Forwarded-For': {
        directives: `${current} proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;`,
        shows: true,
      },
      'with X-Real-IP': {
        directives: `${current} proxy_set_header X-Real-IP $remote_addr;`,
        shows: true,
      },
      'with Forwarded': {
        directives: `${current} proxy_set_header Forwarded "for=$remote_addr";`,
        shows: true,
      },
    };
    const nginx: Nginx = await startNginx(Object.values(servers).map(({ directives }) => directives));
    const proxies = Object.fromEntries(
      Object.entries(servers).map(([name, { shows }], index) => [
        name,
        { shows, port: nginx.ports[index] as number },
      ]),
    );
    return { proxies, stop: () => nginx.stop() };
  });
});

describe('Express behind a proxy on Node', () => {
  // What SECURITY.md says of apps that are neither in production nor have `access` written out.
  it('is open to whoever comes through one that shows nothing, outside production', async () => {
    const { service, target } = await serve({}, 'development');
    const proxy = await startService('proxy.mjs', { args: [target, JSON.stringify({ changeOrigin: true })] });
    try {
      const { body } = await ask(Number(new URL(proxy.url).port), ['Host: shop.example.com']);
      expect(body.slice(0, 2)).toBe(GZIP);
    } finally {
      await Promise.all([proxy.stop(), service.stop()]);
    }
  });

  behind(async (target) => {
    const options: Record<string, { options: object; shows: boolean }> = {
      'as it comes': { options: {}, shows: false },
      'with its own Host': { options: { changeOrigin: true }, shows: false },
      'with X-Forwarded headers': { options: { xfwd: true }, shows: true },
    };
    const services = await Promise.all(
      Object.values(options).map((each) =>
        startService('proxy.mjs', { args: [target, JSON.stringify(each.options)] }),
      ),
    );
    const proxies = Object.fromEntries(
      Object.entries(options).map(([name, { shows }], index) => [
        name,
        { shows, port: Number(new URL((services[index] as Service).url).port) },
      ]),
    );
    return { proxies, stop: () => Promise.all(services.map((service) => service.stop())) };
  });
});
