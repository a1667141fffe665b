/**
 * What 100 000 distinct hostile URLs, unusual methods and clients that run away leave behind in a server: nothing that grows
 * with them, and none of them as a label. `node bench/hostile-urls.mjs` does the same with a million and prints the figures.
 */
import { resolve } from 'node:path';
import { runToEnd } from '../support/child.js';

interface Report {
  requests: number;
  series: number;
  overflowed: number;
  inFlightCount: number;
  routes: string[];
  methods: string[];
  labels: { route?: string[]; method?: string[] };
  heapMiB: { before: number; afterOneUrl: number; afterHostileUrls: number };
}

const COUNT = 100_000;

/** All that the routes of that app may be called, whatever somebody asks for. */
const ROUTES = [
  '(no request)',
  '(unmatched)',
  '(unrouted)',
  // What is mounted by a RegExp is shown by it, or as unknown; never by what it has matched.
  '/*/:item',
  '/^\\/by-pattern-\\w+//:item',
  '/^\\/files\\/(.+)$/',
  '/api/:version/:tenant/:item',
  '/hangs/:id',
  '/here/:item',
  '/passes/:id',
  '/there/:item',
  '/users/:id',
];

const METHODS = ['', 'DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'TRACE', '_OTHER'];

describe(`${COUNT} distinct hostile URLs`, () => {
  let report: Report;

  beforeAll(async () => {
    const bench = resolve(__dirname, '../../bench/hostile-urls.mjs');
    // It asks a fifth as often for one URL: if each of those left something behind, the bound below would only be stricter.
    const args = [String(COUNT), '--young-mib', '16', '--json'];
    const { code, stdout, stderr } = await runToEnd(bench, { args, env: { NODE_ENV: 'development' } });
    if (code !== 0) throw new Error(`the bench ended with ${code}: ${stderr}`);
    report = JSON.parse(stdout) as Report;
  });

  it('are counted, every one of them, in few series', () => {
    expect(report.requests).toBeGreaterThanOrEqual(COUNT + COUNT / 5);
    expect(report.overflowed).toBe(0);
    // Of each route and method at most the status classes that such answers have.
    expect(report.series).toBeLessThanOrEqual(ROUTES.length * METHODS.length * 3);
    expect(report.inFlightCount).toBe(0);
  });

  it('are the label of nothing', () => {
    expect(report.routes.filter((route) => !ROUTES.includes(route))).toEqual([]);
    expect(report.methods.filter((method) => !METHODS.includes(method))).toEqual([]);
    const { route = [], method = [] } = report.labels;
    expect(route.length).toBeGreaterThan(0);
    expect(route.filter((each) => !ROUTES.includes(each))).toEqual([]);
    expect(method.filter((each) => !METHODS.includes(each))).toEqual([]);
  });

  it('leave the heap no more than a quarter larger than requests for one URL do', () => {
    const { before, afterOneUrl, afterHostileUrls } = report.heapMiB;
    expect(before).toBeGreaterThan(1);
    // The URLs alone would be several times the quarter.
    expect(afterHostileUrls / afterOneUrl).toBeLessThan(1.25);
  });
});
