import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { Session } from 'node:inspector';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Profiler, servePprof, type LoopprofError } from '@loopprof/core';
import { profilingMiddleware } from '@loopprof/express';
import express from 'express';
import { PROGRAMS, runToEnd, startService, type Service } from '../support/child.js';
import { fetchProfile } from '../support/fetch.js';
import { listen } from '../support/listen.js';
import { keepingLogger } from '../support/logger.js';
import { readProfile } from '../support/profile.js';

describe('requiring the packages', () => {
  it("starts nothing: no thread, no handle, no listener, no addon, and V8's profilers are free", async () => {
    const { code, signal, stdout, stderr } = await runToEnd('imports.cjs');
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
    const { before, after, addons, foreign } = JSON.parse(stdout) as Record<string, object>;
    expect(after).toEqual(before);
    expect(addons).toEqual([]);
    expect(foreign).toEqual({ samples: 2, heap: 2 });
  });
});

describe('a process with a profiler and its server ends as it would without', () => {
  const ENDINGS = [
    { ending: 'on its own', code: 0, signal: null },
    { ending: 'with process.exitCode', code: 7, signal: null },
    { ending: 'by process.exit()', code: 3, signal: null },
    { ending: 'by an exception', code: 1, signal: null },
    { ending: 'by a rejection', code: 1, signal: null },
    { ending: 'by SIGTERM', code: null, signal: 'SIGTERM' },
  ];

  it.each(ENDINGS)('$ending', async ({ ending, code, signal }) => {
    const run = (profiled: boolean) =>
      runToEnd('lives.cjs', { args: [JSON.stringify({ profiled, until: 'timer', ending })] });
    const [without, withProfiler] = await Promise.all([run(false), run(true)]);
    expect({ code: without.code, signal: without.signal }).toEqual({ code, signal });
    expect({ ...withProfiler, stdout: '' }).toEqual({ ...without, stdout: '' });
    expect(withProfiler.stdout).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/debug\/pprof\/\n$/);
  });

  it.each(ENDINGS)(
    '$ending, while captures run and a scraper keeps its connection',
    async ({ ending, code, signal }) => {
      const service = await startService('lives.cjs', {
        args: [JSON.stringify({ profiled: true, until: 'stdin', ending })],
      });
      const agent = new Agent({ keepAlive: true });
      const silent = connect(Number(new URL(service.url).port), '127.0.0.1');
      try {
        silent.on('error', () => {});
        await Promise.all([once(silent, 'connect'), askOnce(`${service.url}/`, agent)]);
        const captures = ['profile?seconds=300', 'heap?seconds=300'].map((path) =>
          fetch(`${service.url}/${path}`).then(
            (response) => String(response.status),
            () => 'cut off',
          ),
        );
        // Both captures have reached the process when a request sent after them is answered.
        await askOnce(`${service.url}/heap`, agent);

        const exit = once(service.child, 'exit');
        service.child.stdin?.end();
        expect(await exit).toEqual([code, signal]);
        // Where the loop still gets to it, the answer says why; a client never waits on.
        const released = [expect.stringMatching(/^503$|^cut off$/), expect.stringMatching(/^503$|^cut off$/)];
        expect(await Promise.all(captures)).toEqual(released);
        expect(service.stderr().includes('the app failed')).toBe(code === 1);
      } finally {
        silent.destroy();
        agent.destroy();
        await service.stop();
      }
    },
  );

  // Before Node 26 an execve that fails aborts the process.
  const failsSoftly = Number(process.versions.node.split('.')[0]) >= 26;
  it.each(failsSoftly ? [[''], ['after-execve']] : [['']])(
    'also when V8 has lost the order to end the sidecar, which ends itself then %s',
    async (when) => {
      // One that the machine has not let move for a while is not brought to rest, and has nothing to end.
      let exit;
      for (let attempt = 0; attempt < 3 && exit?.stdout !== '1\n'; attempt++)
        exit = await runToEnd('exits-late.cjs', { args: [when], nodeArgs: ['--no-warnings'] });
      expect(exit).toEqual({ code: 4, signal: null, stdout: '1\n', stderr: '' });
    },
  );

  function askOnce(url: string, agent: Agent): Promise<void> {
    return new Promise((resolve, reject) => {
      get(url, { agent }, (response) => response.resume().once('end', resolve)).once('error', reject);
    });
  }
});

describe('start and stop', () => {
  it('a second start is refused, and changes nothing', async () => {
    const profiler = new Profiler({ httpAddr: 'localhost:0' });
    await profiler.start();
    try {
      const { address } = profiler;
      await expect(profiler.start()).rejects.toMatchObject({
        code: 'LOOPPROF_ALREADY_STARTED',
      } satisfies Partial<LoopprofError>);
      expect(profiler.address).toBe(address);
      expect((await fetch(`${address}heap`)).status).toBe(200);
    } finally {
      await profiler.stop();
    }
  });

  it('work again, and nothing listens in between', async () => {
    const profiler = new Profiler({ httpAddr: 'localhost:0' });
    for (let round = 1; round <= 2; round++) {
      await profiler.start();
      const address = profiler.address as string;
      expect((await fetchProfile(`${address}profile?seconds=1`)).samples.length).toBeGreaterThan(0);
      expect((await fetch(`${address}heap`)).status).toBe(200);
      await profiler.stop();
      expect([profiler.running, profiler.address]).toEqual([false, undefined]);
      await expect(fetch(`${address}heap`)).rejects.toThrow();
    }
  });

  it('stop may be called before start, and twice', async () => {
    const profiler = new Profiler({ httpAddr: 'localhost:0' });
    await profiler.stop();
    await profiler.start();
    await Promise.all([profiler.stop(), profiler.stop()]);
    await profiler.stop();
    expect(profiler.running).toBe(false);
  });

  it('a stop during the start leaves nothing behind', async () => {
    const profiler = new Profiler({ httpAddr: 'localhost:0' });
    const starting = profiler.start();
    await profiler.stop();
    await starting;
    expect([profiler.running, profiler.address]).toEqual([false, undefined]);
    await profiler.start();
    expect(profiler.address).toMatch(/^http:/);
    await profiler.stop();
  });

  it('a stop answers the captures that run with the reason, at once', async () => {
    const profiler = new Profiler({ enableHTTP: false });
    await profiler.start();
    const app = await listen(express().use(profilingMiddleware({ profiler })));
    try {
      // Those that the sidecar makes, and those that are made here: a server that closes waits for either.
      const paths = ['profile', 'heap', 'block', 'mutex', 'goroutine', 'goroutineleak'];
      const captures = paths.map((path) => fetch(`${app.origin}/debug/pprof/${path}?seconds=300`));
      await fetch(`${app.origin}/debug/pprof/heap`);
      await profiler.stop();
      for (const [index, capture] of captures.entries()) {
        const { status, text } = await capture.then(async (each) => ({
          status: each.status,
          text: await each.text(),
        }));
        expect([paths[index], status, text]).toEqual([
          paths[index],
          503,
          'The profiler was stopped while this profile was being taken.\n',
        ]);
      }
      const after = await fetch(`${app.origin}/debug/pprof/profile`);
      expect([after.status, await after.text()]).toEqual([
        503,
        expect.stringMatching(/not running: call start\(\)/),
      ]);
    } finally {
      await app.close();
    }
  });
});

describe('an engine that cannot be loaded', () => {
  let service: Service | undefined;
  beforeAll(async () => {
    service = await startService('mounted.cjs', {
      args: ['{"engine":"datadog"}', '{"engine":"datadog","httpAddr":"localhost:0"}'],
      nodeArgs: ['--require', join(PROGRAMS, 'break-engine.cjs')],
    });
  });
  afterAll(() => service?.stop());

  const bases = () => {
    const [mounted, standalone] = (service as Service).line.split(' ') as [string, string];
    return [`${mounted}/debug/pprof/`, standalone];
  };
  const REASON = /The engine "datadog" did not load: …\/dd_pprof\.node: invalid ELF header/;

  it('leaves the app alive', async () => {
    expect(await (await fetch((service as Service).url)).text()).toBe('the app');
  });

  it('is what every profile answers, with 503', async () => {
    for (const base of bases()) {
      for (const path of [
        'profile?seconds=1',
        'cpu',
        'profile?from=now-1s',
        'heap',
        'heap?debug=1',
        'heap?seconds=1',
      ]) {
        const response = await fetch(base + path);
        expect([path, response.status, response.headers.get('x-go-pprof')]).toEqual([path, 503, '1']);
        expect(await response.text()).toMatch(REASON);
      }
    }
  });

  it('is what the index page says', async () => {
    for (const base of bases()) {
      const response = await fetch(base);
      expect(response.status).toBe(200);
      expect((await response.text()).replaceAll('&#34;', '"')).toMatch(
        new RegExp(`Degraded: ${REASON.source}`),
      );
    }
  });
});

describe("an addon that cannot be loaded, with engine: 'auto'", () => {
  it("leaves the sampling to Node's inspector; profiles, index page and log say so", async () => {
    const service = await startService('mounted.cjs', {
      args: ['{}', '{"httpAddr":"localhost:0"}'],
      nodeArgs: ['--require', join(PROGRAMS, 'break-engine.cjs')],
    });
    try {
      const base = `${service.url}/debug/pprof/`;
      const response = await fetch(`${base}profile?seconds=1`);
      expect(response.status).toBe(200);
      expect(response.headers.get('x-loopprof-note')).toMatch(/^estimated: the inspector engine/);
      expect(readProfile(new Uint8Array(await response.arrayBuffer())).durationMs).toBe(1000);
      expect((await fetchProfile(`${base}heap`)).samples.length).toBeGreaterThan(0);
      const index = (await (await fetch(base)).text()).replaceAll('&#34;', '"');
      expect(index).toMatch(/engine inspector of Node v\d+.*because The engine "datadog" did not load/);
      expect(index).not.toContain('Degraded');
    } finally {
      await service.stop();
    }
  });
});

describe('a client that hangs up', () => {
  it.each(['profile?seconds=300', 'heap?seconds=300'])(
    'ends its %s at once, and frees its connection',
    async (path) => {
      const logger = keepingLogger();
      const profiler = new Profiler({ enableHTTP: false }, logger);
      await profiler.start();
      const handler = profiler.createHandler();
      const served: Promise<void>[] = [];
      let arrived = () => {};
      const server = await listen((req, res) => {
        served.push(
          servePprof(
            handler,
            { req, res },
            { path: (req.url ?? '').split('?')[0] as string, url: req.url ?? '' },
          ),
        );
        arrived();
      });
      try {
        for (let client = 0; client < 5; client++) {
          const request = get(`${server.origin}/${path}`);
          request.on('error', () => {});
          await new Promise<void>((resolve) => (arrived = resolve));
          request.destroy();
        }
        // They would take five minutes.
        await Promise.all(served);
        expect(served).toHaveLength(5);
        // Neither a profile nor a failure.
        expect(logger.lines.filter(({ level }) => level !== 'info')).toEqual([]);
        expect(await server.connections()).toBe(0);

        // What is freed harms nobody else.
        expect((await fetchProfile(`${server.origin}/profile?seconds=1`)).durationMs).toBe(1000);
      } finally {
        await server.close();
        await profiler.stop();
      }
    },
  );
});

describe('another tool that stops the heap sampler', () => {
  it('is told of with every answer from then on, with the time since when it counts', async () => {
    const profiler = new Profiler({ httpAddr: 'localhost:0' });
    await profiler.start();
    const session = new Session();
    session.connect();
    try {
      const untouched = await fetch(`${profiler.address}heap`);
      expect(untouched.headers.get('x-loopprof-note')).toBeNull();
      expect(readProfile(new Uint8Array(await untouched.arrayBuffer())).comments).toEqual([]);

      const before = Date.now();
      await post('HeapProfiler.startSampling');
      await post('HeapProfiler.stopSampling');
      for (let round = 1; round <= 2; round++) {
        const response = await fetch(`${profiler.address}heap`);
        expect(response.status).toBe(200);
        const note = response.headers.get('x-loopprof-note') ?? '';
        const [, since = ''] =
          /another tool had stopped V8's heap sampler: allocations from before (\S+) are not counted/.exec(
            note,
          ) ?? [];
        expect(Date.parse(since)).toBeGreaterThanOrEqual(before);
        expect(Date.parse(since)).toBeLessThanOrEqual(Date.now());
        expect(readProfile(new Uint8Array(await response.arrayBuffer())).comments).toEqual([note]);
        expect(await (await fetch(`${profiler.address}heap?debug=1`)).text()).toContain(`# ${note}`);
      }
    } finally {
      session.disconnect();
      await profiler.stop();
    }

    function post(method: 'HeapProfiler.startSampling' | 'HeapProfiler.stopSampling'): Promise<void> {
      return new Promise((resolve, reject) => {
        session.post(method, (error: Error | null) => (error ? reject(error) : resolve()));
      });
    }
  });
});

describe('a logger that throws', () => {
  const fail = () => {
    throw new Error('the disk is full');
  };
  const profiler = new Profiler({ enableHTTP: false }, { debug: fail, info: fail, warn: fail, error: fail });
  beforeAll(() => profiler.start());
  afterAll(() => profiler.stop());

  it.each([
    ['/', '', 200],
    ['/heap', '', 200],
    ['/profile', '?seconds=1', 200],
    ['/profile', '?seconds=abc', 400],
    ['/nothing', '', 404],
  ])('does not fail %s%s', async (path, query, status) => {
    const answer = await profiler.createHandler()({
      method: 'GET',
      url: path + query,
      path,
      headers: { host: 'localhost' },
      httpVersion: '1.1',
      remoteAddress: '127.0.0.1',
    });
    expect(answer.status).toBe(status);
  });
});
