/** What a program gets that holds a Profiler: files at stop(), snapshots by hand and by request. */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import {
  getProfiler,
  Profiler,
  type LoopprofError,
  type Manifest,
  type ProfilerConfig,
  type Snapshot,
} from '@loopprof/core';
import { profilingMiddleware } from '@loopprof/express';
import { profilerPlugin } from '@loopprof/fastify';
import { profilingMiddleware as koaMiddleware } from '@loopprof/koa';
import express from 'express';
import Fastify from 'fastify';
import Koa from 'koa';
import { burnCpu } from '../support/burn.js';
import { runToEnd } from '../support/child.js';
import { newFolder } from '../support/folder.js';
import { listen } from '../support/listen.js';
import { keepingLogger } from '../support/logger.js';
import { cumulativeOf, readProfile, totalOf, type ReadProfile } from '../support/profile.js';

const CPU = 1;

const profileIn = (path: string): ReadProfile => readProfile(readFileSync(path));
const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);
const jsonIn = <T>(path: string): T => JSON.parse(readFileSync(path, 'utf8')) as T;

/** Share of the CPU that was used below this file: V8 may inline burnCpu() into it. */
function ownShareOf(profile: ReadProfile): number {
  const own = profile.samples.filter(({ stack }) => stack.some(({ file }) => file === __filename));
  return totalOf({ ...profile, samples: own }, CPU) / totalOf(profile, CPU);
}

const started: Profiler[] = [];
afterEach(() => Promise.all(started.splice(0).map((profiler) => profiler.stop())));

async function start(config: Partial<ProfilerConfig>, logger = keepingLogger()): Promise<Profiler> {
  const profiler = new Profiler({ enableHTTP: false, ...config }, logger);
  await profiler.start();
  started.push(profiler);
  return profiler;
}

describe('stop()', () => {
  it('as the last thing a program does writes its profiles: the CPU of the last profileDurationMs, and the heap', async () => {
    const cwd = newFolder();
    const config = { enableHTTP: false, profileDurationMs: 1000, hangThresholdMs: 60_000 };
    const { code, stdout, stderr } = await runToEnd('stops.cjs', { args: [JSON.stringify(config)], cwd });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({ running: false, kept: 20_000 });

    const cpu = profileIn(join(cwd, 'profiles/cpu.prof'));
    expect(cpu.durationMs).toBe(1000);
    expect(cumulativeOf(cpu, 'lasting', CPU) / totalOf(cpu, CPU)).toBeGreaterThan(0.8);
    expect(cumulativeOf(cpu, 'ended', CPU)).toBe(0);
    const heap = profileIn(join(cwd, 'profiles/mem.prof'));
    expect(cumulativeOf(heap, 'retained', 1)).toBeGreaterThan(10_000_000);

    expect(modeOf(join(cwd, 'profiles'))).toBe('700');
    for (const file of readdirSync(join(cwd, 'profiles')))
      expect([file, modeOf(join(cwd, 'profiles', file))]).toEqual([
        expect.stringMatching(/^\w+\.prof$/),
        '600',
      ]);
  });

  it('covers the time since the start when that is shorter, in each of its runs anew', async () => {
    const profileDir = newFolder();
    const profiler = await start({ profileDir });
    burnCpu(200);
    await profiler.stop();
    const first = profileIn(join(profileDir, 'cpu.prof'));

    await profiler.start();
    const betweenMs = Date.now();
    burnCpu(200);
    await profiler.stop();
    const second = profileIn(join(profileDir, 'cpu.prof'));

    expect(first.durationMs).toBeGreaterThan(100);
    expect(first.durationMs).toBeLessThan(20_000);
    expect(second.timeMs).toBeGreaterThanOrEqual(betweenMs - 100);
    for (const profile of [first, second]) expect(ownShareOf(profile)).toBeGreaterThan(0.5);
  });

  it('writes what is enabled, and nothing at all where nothing is or writeOnStop is false', async () => {
    const cases: [Partial<ProfilerConfig>, string[]][] = [
      [{ enableCPU: false }, ['mem.prof']],
      [{ enableMemory: false }, ['cpu.prof']],
      [{ writeOnStop: false }, []],
    ];
    for (const [config, files] of cases) {
      const profileDir = join(newFolder(), 'new');
      const profiler = await start({ profileDir, ...config });
      expect(existsSync(profileDir)).toBe(false);
      burnCpu(30);
      await profiler.stop();
      const written = existsSync(profileDir) ? readdirSync(profileDir) : [];
      expect(written.filter((file) => ['cpu.prof', 'mem.prof'].includes(file))).toEqual(files);
      if (config.writeOnStop === false) expect(existsSync(profileDir)).toBe(false);
    }
  });

  it('is what the end of an `await using` block does', async () => {
    const profileDir = newFolder();
    let used: Profiler;
    {
      await using profiler = new Profiler({ enableHTTP: false, profileDir });
      await profiler.start();
      used = profiler;
      expect(used.running).toBe(true);
    }
    expect(used.running).toBe(false);
    expect(readdirSync(profileDir)).toContain('mem.prof');
  });

  it('of the profiler that adapters share writes files only when profileDir is given', async () => {
    // Other tests write to the default folder below the one that they all start in.
    const startedIn = process.cwd();
    process.chdir(newFolder());
    try {
      await getProfiler({}).stop();
      expect(existsSync('profiles')).toBe(false);
    } finally {
      process.chdir(startedIn);
    }

    const profileDir = newFolder();
    await getProfiler({ profileDir }).stop();
    expect(readdirSync(profileDir)).toContain('mem.prof');
  });

  it('while a start waits for it, is done first', async () => {
    const profiler = await start({ profileDir: newFolder() });
    const stopping = profiler.stop();
    expect(profiler.running).toBe(false);
    await Promise.all([stopping, profiler.start()]);
    expect(profiler.running).toBe(true);
    expect((await profiler.captureSnapshot())['memory']).toBeDefined();
  });
});

describe('profileDir', () => {
  it('that is named and cannot be a directory is refused by start(), by its field', async () => {
    const file = join(newFolder(), 'file');
    writeFileSync(file, '');
    for (const profileDir of [file, join(file, 'below')]) {
      const profiler = new Profiler({ enableHTTP: false, profileDir });
      await expect(profiler.start()).rejects.toMatchObject({
        code: 'LOOPPROF_INVALID_CONFIG',
        message: expect.stringMatching(
          /^`profileDir` must be a directory that this process can write to or create, got '.*file.*': .+/,
        ) as string,
      });
      expect(profiler.running).toBe(false);
    }
    expect(readFileSync(file, 'utf8')).toBe('');
  });
});

describe('captureSnapshot()', () => {
  it('writes all there is into a directory of its own, for the owner alone, with a manifest', async () => {
    const profileDir = join(newFolder(), 'a/b');
    const profiler = await start({ profileDir });
    burnCpu(300);
    const files = await profiler.captureSnapshot();

    expect(Object.keys(files)).toEqual(
      expect.arrayContaining(['cpu', 'memory', 'gc_stats', 'requests', 'runtime']),
    );
    const directory = dirname(files['memory'] as string);
    expect(dirname(directory)).toBe(profileDir);
    expect(basename(directory)).toMatch(new RegExp(`^\\d{8}T\\d{6}\\.\\d{3}Z-manual-${process.pid}$`));
    expect([profileDir, directory].map(modeOf)).toEqual(['700', '700']);
    expect(new Set(readdirSync(directory).map((file) => modeOf(join(directory, file))))).toEqual(
      new Set(['600']),
    );

    const cpu = profileIn(files['cpu'] as string);
    expect(ownShareOf(cpu)).toBeGreaterThan(0.5);
    expect(profileIn(files['memory'] as string).sampleTypes).toContain('inuse_space/bytes');
    expect(jsonIn<{ kinds: unknown[] }>(files['gc_stats'] as string).kinds).toBeInstanceOf(Array);

    const manifest = jsonIn<Manifest>(join(directory, 'manifest.json'));
    expect(manifest).toMatchObject({
      reason: 'manual',
      triggers: [],
      host: hostname(),
      pid: process.pid,
      node: process.version,
      engine: expect.stringMatching(/^@datadog\/pprof \d/) as string,
      versions: { loopprof: expect.stringMatching(/^\d/) as string, v8: process.versions.v8 },
      missing: {},
    });
    expect(Object.keys(manifest.files).sort()).toEqual(Object.keys(files).sort());
    for (const [name, { file, sizeBytes }] of Object.entries(manifest.files)) {
      expect(join(directory, file)).toBe(files[name]);
      expect(statSync(files[name] as string).size).toBe(sizeBytes);
    }
    const { from, to } = manifest.window;
    expect(Date.parse(to) - Date.parse(from)).toBe(cpu.durationMs);
    expect(Math.abs(Date.parse(from) - cpu.timeMs)).toBeLessThan(2);
  });

  it('emits it; a listener that throws is only logged', async () => {
    const logger = keepingLogger();
    const profiler = await start({ profileDir: newFolder() }, logger);
    const heard: Snapshot[] = [];
    profiler.on('snapshot', (snapshot) => {
      heard.push(snapshot);
      throw new Error('the listener failed');
    });
    const files = await profiler.captureSnapshot();
    expect(heard).toEqual([
      {
        reason: 'manual',
        triggers: [],
        files,
        missing: {},
        directory: dirname(files['memory'] as string),
        manifest: join(dirname(files['memory'] as string), 'manifest.json'),
      },
    ]);
    expect(logger.messages('error')).toEqual([
      "loopprof: a listener of 'snapshot' failed: the listener failed",
    ]);
  });

  it('twenty at once are twenty, one after the other', async () => {
    const profileDir = newFolder();
    const profiler = await start({ profileDir });
    const all = await Promise.all(Array.from({ length: 20 }, () => profiler.captureSnapshot()));
    expect(new Set(all.map(({ memory }) => memory)).size).toBe(20);
    expect(readdirSync(profileDir)).toHaveLength(20);
  });

  it('leaves nothing when its signal aborts, before or meanwhile', async () => {
    const profileDir = newFolder();
    const profiler = await start({ profileDir });
    const aborted = { code: 'LOOPPROF_ABORTED' };
    await expect(profiler.captureSnapshot({ signal: AbortSignal.abort() })).rejects.toMatchObject(aborted);
    const controller = new AbortController();
    const capturing = profiler.captureSnapshot({ signal: controller.signal });
    const waiting = profiler.captureSnapshot({ signal: controller.signal });
    controller.abort();
    await expect(waiting).rejects.toMatchObject(aborted);
    await expect(capturing).rejects.toMatchObject(aborted);
    await profiler.captureSnapshot();
    expect(readdirSync(profileDir)).toHaveLength(1);
  });

  it('is there or not there when its signal aborts at any moment, as its caller is told', async () => {
    const profileDir = newFolder();
    const profiler = await start({ profileDir });
    const beganMs = performance.now();
    await profiler.captureSnapshot();
    const lastsMs = performance.now() - beganMs;
    const outcomes: string[] = [];
    for (let attempt = 0; attempt < 25; attempt++) {
      const controller = new AbortController();
      setTimeout(() => controller.abort(), (lastsMs * attempt) / 20);
      outcomes.push(
        await profiler.captureSnapshot({ signal: controller.signal }).then(
          () => 'taken',
          (error: LoopprofError) => error.code,
        ),
      );
    }
    // After all that may still be going on.
    await profiler.captureSnapshot();
    const taken = outcomes.filter((outcome) => outcome === 'taken').length;
    expect(new Set(outcomes)).toEqual(new Set(['LOOPPROF_ABORTED', ...(taken > 0 ? ['taken'] : [])]));
    expect(readdirSync(profileDir)).toHaveLength(taken + 2);
  });

  it('needs a profiler that runs', async () => {
    const profiler = new Profiler({ enableHTTP: false, profileDir: newFolder() });
    await expect(profiler.captureSnapshot()).rejects.toMatchObject({ code: 'LOOPPROF_NOT_STARTED' });
  });

  it('says in the manifest what could not be had', async () => {
    const { code, stdout, stderr } = await runToEnd('snapshot-without-engine.cjs', {
      nodeArgs: ['--require', join(__dirname, '../support/programs/break-engine.cjs')],
      cwd: newFolder(),
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { names, manifest } = JSON.parse(stdout) as { names: string[]; manifest: Manifest };
    expect(names).toEqual(expect.arrayContaining(['gc_stats', 'runtime']));
    expect(names).not.toContain('cpu');
    expect(manifest.engine).toBeNull();
    expect(manifest.missing).toMatchObject({
      cpu: expect.stringContaining('did not load') as string,
      memory: expect.stringContaining('did not load') as string,
    });
  });
});

describe('snapshots are kept', () => {
  it('as many as maxCount says, the newest', async () => {
    const profileDir = newFolder();
    mkdirSync(join(profileDir, '20200101T000000.000Z-manual-1'));
    mkdirSync(join(profileDir, "the user's"));
    const profiler = await start({ profileDir, snapshots: { maxCount: 3 } });
    const taken: string[] = [];
    for (let count = 0; count < 5; count++)
      taken.push(dirname((await profiler.captureSnapshot())['memory'] as string));
    expect(readdirSync(profileDir).sort()).toEqual([
      ...taken.slice(2).map((path) => basename(path)),
      "the user's",
    ]);
  });
});

describe('POST snapshot', () => {
  const sites: Record<
    string,
    (profiler: Profiler) => Promise<{ base: string; close: () => Promise<unknown> }>
  > = {
    'the standalone server': (profiler) =>
      Promise.resolve({ base: profiler.address as string, close: () => Promise.resolve() }),
    Express: async (profiler) => {
      const server = await listen(express().use(profilingMiddleware({ profiler })));
      return { base: `${server.origin}/debug/pprof/`, close: () => server.close() };
    },
    Koa: async (profiler) => {
      const answer = new Koa().use(koaMiddleware({ profiler })).callback();
      const server = await listen((req, res) => void answer(req, res));
      return { base: `${server.origin}/debug/pprof/`, close: () => server.close() };
    },
    Fastify: async (profiler) => {
      const fastify = Fastify();
      await fastify.register(profilerPlugin, { profiler });
      return { base: `${await fastify.listen({ port: 0 })}/debug/pprof/`, close: () => fastify.close() };
    },
  };

  it.each(Object.keys(sites))('to %s writes one and answers with its paths', async (site) => {
    const profileDir = newFolder();
    const profiler = await start({ enableHTTP: true, httpAddr: 'localhost:0', profileDir });
    const { base, close } = await (sites[site] as (typeof sites)[string])(profiler);
    try {
      const response = await fetch(`${base}snapshot`, { method: 'POST' });
      expect([
        response.status,
        response.headers.get('content-type'),
        response.headers.get('cache-control'),
      ]).toEqual([201, 'application/json; charset=utf-8', 'no-store']);
      const snapshot = (await response.json()) as Snapshot;
      expect(snapshot).toMatchObject({ reason: 'http', triggers: [] });
      expect(jsonIn<Manifest>(snapshot.manifest).reason).toBe('http');
      expect(profileIn(snapshot.files['memory'] as string).sampleTypes).toContain('inuse_space/bytes');

      for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
        const refused = await fetch(`${base}snapshot`, { method });
        expect([method, refused.status, refused.headers.get('allow')]).toEqual([method, 405, 'POST']);
      }
      const foreign = { method: 'POST', headers: { 'sec-fetch-site': 'cross-site' } };
      expect((await fetch(`${base}snapshot`, foreign)).status).toBe(403);
      expect(readdirSync(profileDir)).toHaveLength(1);
    } finally {
      await close();
    }
  });

  it('from many at once is answered to all with the one that is being taken', async () => {
    const profileDir = newFolder();
    const profiler = await start({ enableHTTP: true, httpAddr: 'localhost:0', profileDir });
    const ask = async () => (await fetch(`${profiler.address}snapshot`, { method: 'POST' })).status;
    expect(new Set(await Promise.all(Array.from({ length: 30 }, ask)))).toEqual(new Set([201]));
    expect(readdirSync(profileDir).length).toBeLessThan(15);
  });
});
