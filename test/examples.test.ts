/** The examples as a user starts them: their routes do what they say, and loopprof sees it. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request, type IncomingMessage } from 'node:http';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { startService, type Service } from './support/child.js';
import { fetchProfile } from './support/fetch.js';
import { cumulativeOf, totalOf } from './support/profile.js';

const EXAMPLES = resolve(__dirname, '../examples');

const CPU = 1;

interface LogLine {
  msg: string;
  method: string;
  route: string;
  status: number;
  ms: number;
  eventLoopBlockedMs?: number;
  gcMs?: number;
}

let service: Service;
let url: string;
let logged: LogLine[];

async function start(name: string): Promise<void> {
  service = await startService(join(EXAMPLES, name, 'src/server.js'), {
    env: { PORT: '0', NODE_ENV: 'development' },
  });
  // Fastify says it in a line of its JSON log.
  url = /listening on (http:[^\s"]+)/.exec(service.line)?.[1] ?? service.line;
  logged = [];
  const lines = createInterface({ input: service.child.stdout as NodeJS.ReadableStream });
  lines.on('line', (line) => logged.push(JSON.parse(line) as LogLine));
}

function dataOf<T>(name: string, file: string): T {
  return JSON.parse(readFileSync(join(EXAMPLES, name, 'data', file), 'utf8')) as T;
}

async function get(path: string): Promise<{ status: number; text: string }> {
  const response = await fetch(url + path);
  return { status: response.status, text: await response.text() };
}

async function getJson<T>(path: string): Promise<T> {
  const { status, text } = await get(path);
  expect(status).toBe(200);
  return JSON.parse(text) as T;
}

function login(user: string, password: string): Promise<Response> {
  return fetch(`${url}/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ user, password }),
  });
}

/** Share of the CPU that a function and what it calls use while a route is asked for, one request after the other. */
async function shareUnderLoad(path: string, functionName: string): Promise<number> {
  const capture = fetchProfile(`${url}/debug/pprof/profile?seconds=2`);
  let done = false;
  const load = (async () => {
    while (!done) await get(path);
  })();
  const profile = await capture.finally(() => (done = true));
  await load;
  return cumulativeOf(profile, functionName, CPU) / totalOf(profile, CPU);
}

/** "METHOD route class" of everything that was counted. */
async function counted(): Promise<string[]> {
  const { series } = await getJson<{ series: { method: string; route: string; statusClass: string }[] }>(
    '/debug/pprof/requests',
  );
  return series.map(({ method, route, statusClass }) => `${method} ${route} ${statusClass}`).sort();
}

/** The first line of the log that is like this; requests are logged a little after their end. */
async function line(wanted: Partial<LogLine>): Promise<LogLine> {
  const fits = (line: LogLine): boolean =>
    Object.entries(wanted).every(([field, value]) => line[field as keyof LogLine] === value);
  for (let attempt = 0; attempt < 250; attempt++) {
    const found = logged.find(fits);
    if (found) return found;
    await sleep(20);
  }
  throw new Error(`no ${JSON.stringify(wanted)} in ${JSON.stringify(logged)}`);
}

async function expectIndexPage(): Promise<void> {
  const { status, text } = await get('/debug/pprof/');
  expect(status).toBe(200);
  expect(text).toContain('<title>/debug/pprof/</title>');
  for (const profile of ['profile', 'heap', 'requests'])
    expect(text).toMatch(new RegExp(`href="${profile}\\b`));
}

afterEach(() => service.stop());

it('Express: renders articles, adds up sales, checks passwords, and shows all of it', async () => {
  await start('express');

  const article = await get('/articles/reading-roast-curves');
  const source = readFileSync(join(EXAMPLES, 'express/data/articles/reading-roast-curves.md'), 'utf8');
  const title = /^# (.+)$/m.exec(source)?.[1] ?? 'no title';
  expect(article.text).toContain(`<h1>${title}</h1>`);
  expect((await get('/articles/..%2Fusers')).status).toBe(404);

  const { columns, rows } = dataOf<{ columns: string[]; rows: number[][] }>('express', 'sales.json');
  const report = await getJson<{ cells: { orders: number; units: number }[] }>('/reports/sales?by=channel');
  expect(report.cells.reduce((sum, { orders }) => sum + orders, 0)).toBe(rows.length);
  const units = columns.indexOf('units');
  expect(report.cells.reduce((sum, cell) => sum + cell.units, 0)).toBe(
    rows.reduce((sum, row) => sum + (row[units] as number), 0),
  );

  expect(await (await login('ada', 'correct horse battery staple')).json()).toEqual({ user: 'ada' });
  expect((await login('ada', 'wrong')).status).toBe(401);
  expect(await getJson('/sessions/7')).toMatchObject({ id: '7', cart: [] });

  await expectIndexPage();
  expect(await shareUnderLoad('/reports/sales?by=region', 'aggregateSales')).toBeGreaterThan(0.5);
  expect(await counted()).toEqual([
    'GET /articles/:slug 2xx',
    'GET /articles/:slug 4xx',
    'GET /reports/sales 2xx',
    'GET /sessions/:id 2xx',
    'POST /login 2xx',
    'POST /login 4xx',
  ]);
});

it('Express: logs a slow request with how long it has waited for others', async () => {
  await start('express');
  const body = JSON.stringify({ user: 'ada', password: 'correct horse battery staple' });
  const headers = { 'content-type': 'application/json', 'content-length': body.length };
  const slow = request(`${url}/login`, { method: 'POST', headers });
  slow.flushHeaders();
  const startedAt = performance.now();
  while (performance.now() - startedAt < 1300) {
    await Promise.all(Array.from({ length: 8 }, async () => (await login('ada', 'wrong')).text()));
  }
  slow.end(body);
  const [response] = (await once(slow, 'response')) as [IncomingMessage];
  response.resume();

  const logLine = await line({ msg: 'slow request', status: 200 });
  expect(logLine).toMatchObject({ method: 'POST', route: '/login' });
  expect(logLine.ms).toBeGreaterThanOrEqual(1000);
  expect((logLine.eventLoopBlockedMs ?? 0) / logLine.ms).toBeGreaterThan(0.2);
  expect((logLine.eventLoopBlockedMs ?? 0) / logLine.ms).toBeLessThanOrEqual(1);
  expect(logLine.gcMs).toBeLessThan(logLine.ms);
});

it('Koa: finds a way through all cities, and shows it', async () => {
  await start('koa');

  const cities = dataOf<{ name: string }[]>('koa', 'cities.json').map(({ name }) => name);
  expect(await get('/tours/Atlantis')).toEqual({ status: 404, text: 'no such city' });
  const [first, ...others] = await getJson<string[]>('/tours/Vienna');
  expect([first, others.at(-1)]).toEqual(['Vienna', 'Vienna']);
  expect(others.sort()).toEqual(cities.sort());

  const logLine = await line({ route: '/tours/:city', status: 200 });
  expect(logLine).toMatchObject({ msg: 'request', method: 'GET' });
  expect(logLine.ms).toBeGreaterThan(0);
  expect(logLine.eventLoopBlockedMs).toBeLessThanOrEqual(logLine.ms);
  expect((await line({ status: 404 })).route).toBe('/tours/:city');

  await expectIndexPage();
  expect(await shareUnderLoad('/tours/Oslo', 'shorten')).toBeGreaterThan(0.5);
  expect(await counted()).toEqual(['GET /tours/:city 2xx', 'GET /tours/:city 4xx']);
});

it('Fastify: solves puzzles, and shows it', async () => {
  await start('fastify');

  const puzzles = dataOf<Record<string, string>>('fastify', 'puzzles.json');
  for (const [level, puzzle] of Object.entries(puzzles)) {
    expect((await get(`/puzzles/${level}`)).text).toBe(puzzle);
    const { text: solution } = await get(`/puzzles/${level}/solution`);
    expect(solution).toMatch(new RegExp(`^${puzzle}$`));
    for (let row = 0; row < 9; row++) {
      expect([...solution.slice(9 * row, 9 * row + 9)].sort().join('')).toBe('123456789');
    }
  }
  expect((await get('/puzzles/impossible')).status).toBe(400);

  const logLine = await line({ route: '/puzzles/:level/solution' });
  expect(logLine).toMatchObject({ msg: 'request', method: 'GET', status: 200 });
  expect(logLine.ms).toBeGreaterThan(0);

  await expectIndexPage();
  expect(await shareUnderLoad('/puzzles/hard/solution', 'solve')).toBeGreaterThan(0.5);
  expect(await counted()).toEqual([
    'GET /puzzles/:level 2xx',
    'GET /puzzles/:level 4xx',
    'GET /puzzles/:level/solution 2xx',
  ]);
});
