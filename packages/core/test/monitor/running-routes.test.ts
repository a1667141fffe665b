import { RunningRoutes, type RouteLook, type RouteOwner } from '../../src/monitor/running-routes.js';

const A: RouteOwner = { method: 'GET', route: '/a' };
const B: RouteOwner = { method: 'GET', route: '/b' };

function looks(...entries: [number, RouteOwner | undefined][]): RouteLook[] {
  return entries.map(([timeMs, owner]) => ({ timeMs, owner }));
}

/** Charges one stretch and gives who paid. */
function payerOf(
  [startMs, endMs]: [number, number],
  { seen = [], worked = [] }: { seen?: RouteLook[]; worked?: [number, RouteOwner?][] },
): RouteOwner | undefined | 'nobody' {
  const running = new RunningRoutes(() => true);
  for (const [timeMs, owner] of worked) running.note(timeMs, owner);
  let payer: RouteOwner | undefined | 'nobody' = 'nobody';
  running.add({
    startMs,
    endMs,
    durationMs: endMs - startMs,
    charge: () => {},
    conclude: (owner) => (payer = owner),
  });
  running.take(seen);
  running.settle(Infinity);
  return payer;
}

describe('RunningRoutes by labelled looks', () => {
  it('names whoever most looks in the stretch saw', () => {
    const seen = looks([5, B], [101, A], [111, B], [121, A], [205, B]);
    expect(payerOf([100, 200], { seen })).toBe(A);
  });

  it('charges all who ran in it, by how many looks saw them', () => {
    const running = new RunningRoutes(() => true);
    const paid = new Map<RouteOwner | undefined, number>();
    running.add({ startMs: 100, endMs: 180, durationMs: 80, charge: (owner, ms) => paid.set(owner, ms) });
    running.take(looks([105, A], [125, A], [145, A], [165, B]));
    running.settle(Infinity);
    expect([...paid]).toEqual([
      [A, 60],
      [B, 20],
    ]);
  });

  it('remembers the looks of a harvest for what is reported after it', () => {
    const running = new RunningRoutes(() => true);
    const paid: (RouteOwner | undefined)[] = [];
    running.take(looks([105, A]));
    running.settle(200);
    running.add({ startMs: 100, endMs: 110, durationMs: 10, charge: (owner) => paid.push(owner) });
    running.take(looks([305, B]));
    running.settle(400);
    expect(paid).toEqual([A]);
  });

  it('charges a stretch that no look hit to the nearest one', () => {
    const seen = looks([90, B], [97, A], [109, B]);
    expect(payerOf([100, 101], { seen })).toBe(A);
  });

  it('charges no request where the looks saw none', () => {
    const seen = looks([50, A], [101, undefined], [111, undefined], [121, A]);
    expect(payerOf([100, 130], { seen, worked: [[99, B]] })).toBeUndefined();
  });

  it('waits for the harvest that covers the stretch', () => {
    const running = new RunningRoutes(() => true);
    const paid: (RouteOwner | undefined)[] = [];
    running.add({ startMs: 100, endMs: 150, durationMs: 50, charge: (owner) => paid.push(owner) });
    running.take(looks([90, B]));
    running.settle(120);
    expect(paid).toEqual([]);
    running.take(looks([125, A], [135, A]));
    running.settle(200);
    expect(paid).toEqual([A]);
    running.take(looks([225, B]));
    running.settle(300);
    expect(paid).toEqual([A]);
  });
});

describe('RunningRoutes without labels', () => {
  it('charges the request begun last before the longest silence', () => {
    const worked: [number, RouteOwner?][] = [
      [99, A],
      [100.5, B],
      [190, A],
    ];
    expect(payerOf([100, 200], { worked })).toBe(B);
  });

  it('charges the request that was begun just before the stretch', () => {
    expect(payerOf([105, 106], { worked: [[60], [100, A]] })).toBe(A);
  });

  it('charges who stands in place of a request that has ended, as long as the sign is remembered', () => {
    const running = new RunningRoutes(() => true);
    const paid: (RouteOwner | undefined)[] = [];
    const charge = (owner: RouteOwner | undefined): void => void paid.push(owner);
    running.note(99);
    const sign = running.note(100, { method: 'GET', route: undefined });
    running.replace(sign, A);
    running.replace(-1, B);
    running.add({ startMs: 101, endMs: 150, durationMs: 49, charge });
    running.settle(Infinity);
    for (let n = 0; n < 5000; n++) running.note(200 + n, B);
    running.replace(sign, A);
    running.add({ startMs: 5000, endMs: 6000, durationMs: 1000, charge });
    running.settle(Infinity);
    expect(paid).toEqual([A, B]);
  });

  it('charges no request when the event loop has turned since', () => {
    expect(payerOf([105, 106], { worked: [[60, A], [100]] })).toBeUndefined();
    expect(payerOf([105, 106], {})).toBeUndefined();
  });
});

it('charges every stretch exactly once, however many there are', () => {
  const running = new RunningRoutes(() => true);
  let sum = 0;
  for (let n = 0; n < 25_000; n++) {
    running.add({ startMs: n, endMs: n + 0.5, durationMs: 0.5, charge: (_owner, ms) => (sum += ms) });
  }
  running.settle(Infinity);
  expect(sum).toBe(12_500);
});
