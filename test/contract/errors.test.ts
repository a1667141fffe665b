/** What is told over HTTP of what went wrong here: all but where things lie on this machine, which is for the log. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Profiler, servePprof } from '@loopprof/core';
import { listen, type Listening } from '../support/listen.js';
import { keepingLogger } from '../support/logger.js';

const room = mkdtempSync(join(tmpdir(), 'loopprof errors '));
afterAll(() => rmSync(room, { recursive: true }));

const closers: (() => Promise<unknown>)[] = [];
afterEach(() => Promise.all(closers.splice(0).map((close) => close())));

async function mount(profiler: Profiler): Promise<Listening> {
  const handler = profiler.createHandler({ access: 'loopback' });
  const app = await listen((req, res) => {
    void servePprof(handler, { req, res }, { path: req.url ?? '/', url: req.url ?? '/' });
  });
  closers.push(() => app.close());
  return app;
}

async function ask(url: string, method = 'GET'): Promise<[number, string]> {
  const response = await fetch(url, { method });
  return [response.status, await response.text()];
}

it('a folder that cannot be written to has no path, at either door', async () => {
  const profileDir = join(room, 'profiles');
  const logger = keepingLogger();
  const profiler = new Profiler({ httpAddr: 'localhost:0', profileDir, writeOnStop: false }, logger);
  await profiler.start();
  closers.push(() => profiler.stop());
  const app = await mount(profiler);
  rmSync(profileDir, { recursive: true, force: true });
  writeFileSync(profileDir, 'in the way');
  for (const url of [`${profiler.address}snapshot`, `${app.origin}/snapshot`]) {
    const [status, body] = await ask(url, 'POST');
    expect([status, body]).toEqual([
      503,
      expect.stringMatching(/^Nothing could be written to `profileDir` '…\/profiles': E[A-Z]+: /),
    ]);
    expect(body).not.toContain(room);
  }
  expect(logger.messages('error').join('\n')).toContain(profileDir);
});

it('a folder that was refused at the start has none either', async () => {
  writeFileSync(join(room, 'a file'), '');
  const profileDir = join(room, 'a file', 'profiles');
  const profiler = new Profiler({ enableHTTP: false, profileDir });
  await expect(profiler.start()).rejects.toThrow(profileDir);
  const { origin } = await mount(profiler);
  for (const path of ['', 'heap', 'runtime', 'stalls']) {
    const [status, body] = await ask(`${origin}/${path}`);
    expect([path, status, body]).toEqual([
      path,
      500,
      expect.stringMatching(/^`profileDir` must be a directory/),
    ]);
    expect(body).not.toContain(room);
  }
});

it('an address that is taken has none on the index page', async () => {
  const httpAddr = `unix:${join(room, 'no folder', 'pprof.sock')}`;
  const logger = keepingLogger();
  const profiler = new Profiler({ httpAddr, access: 'loopback', writeOnStop: false }, logger);
  await profiler.start();
  closers.push(() => profiler.stop());
  const { origin } = await mount(profiler);
  const [status, body] = await ask(`${origin}/`);
  expect([status, body]).toEqual([200, expect.stringContaining('…/pprof.sock')]);
  expect(body).not.toContain(room);
  expect(logger.messages('error').join('\n')).toContain(room);
});
