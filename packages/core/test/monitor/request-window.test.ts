import { RequestWindow } from '../../src/monitor/request-window.js';
import type { RequestTiming } from '../../src/monitor/request-timing.js';

function timing(different: Partial<RequestTiming>): RequestTiming {
  return {
    method: 'GET',
    route: '/users/:id',
    startedAtMs: 1000,
    headersAtMs: 1001,
    endedAtMs: 1010,
    statusCode: 200,
    aborted: false,
    eventLoopBlockedMs: 0,
    gcMs: 0,
    ...different,
  };
}

it('gives the routes of a stretch once it is over, and begins the next', () => {
  const window = new RequestWindow({ overMs: 10_000, maxRoutes: 10, nowMs: 0 });
  for (let n = 0; n < 200; n++) window.record(timing({ endedAtMs: n < 195 ? 1010 : 1500 }));
  for (const statusCode of [500, 503, 404, 200]) window.record(timing({ route: '/orders', statusCode }));
  window.record(timing({ route: undefined, statusCode: 404 }));
  window.record(timing({ route: undefined, statusCode: undefined, aborted: true }));

  expect(window.take(9_999)).toBeUndefined();
  const routes = window.take(10_000) ?? [];
  expect(routes.map(({ route, count, errors }) => [route, count, errors])).toEqual([
    ['/users/:id', 200, 0],
    ['/orders', 4, 2],
    ['(unmatched)', 1, 0],
    ['(unrouted)', 1, 0],
  ]);
  expect((routes[0]?.p99Ms ?? 0) / 500).toBeCloseTo(1, 1);
  expect(window.take(20_000)).toEqual([]);
});

it('keeps as many routes apart as it may; the rest is one', () => {
  const window = new RequestWindow({ overMs: 1000, maxRoutes: 3, nowMs: 0 });
  for (let n = 0; n < 1000; n++) window.record(timing({ route: `/route-${n}` }));
  expect(window.take(1000)?.map(({ method, route, count }) => [method, route, count])).toEqual([
    ['GET', '/route-0', 1],
    ['GET', '/route-1', 1],
    ['GET', '/route-2', 1],
    ['_OTHER', '(other)', 997],
  ]);
});
