import type { Readings, RouteReading } from '../../src/snapshots/readings.js';
import { Triggers } from '../../src/snapshots/triggers.js';
import type { TriggerKind, WatchedRule } from '../../src/trigger-rules.js';

const GB = 2 ** 30;
const MINUTE_MS = 60_000;

/** A process that is well, `n` seconds after it was started. */
function well(n: number, different: Partial<Readings> = {}): Readings {
  return {
    stalls: [{ durationMs: 40, method: 'GET', route: '/quick' }],
    loop: { activeMs: 300 * n, idleMs: 700 * n },
    rssBytes: 0.4 * GB,
    memoryLimitBytes: GB,
    // It swings with the garbage and stays where it is.
    ...sawTooth(n, 100e6),
    heapLimitBytes: 0.5 * GB,
    requests: [{ overMs: 30_000, routes: [route({ p99Ms: 80, errors: 2 })] }],
    signals: [],
    ...different,
  };
}

/** Garbage is collected every ten seconds. */
const sawTooth = (n: number, leftBytes: number) => ({
  heapUsedBytes: leftBytes + (n % 10) * 12e6,
  collected: { times: 1 + Math.floor(n / 10), leftBytes },
});

const route = (different: Partial<RouteReading>): RouteReading => ({
  method: 'GET',
  route: '/users/:id',
  count: 1000,
  errors: 0,
  p99Ms: 20,
  ...different,
});

const requests = (...routes: RouteReading[]): Partial<Readings> => ({
  requests: [{ overMs: 30_000, routes }],
});

/** Rules with what makes each of them fire in the seconds from 1 000 on, and what it then says. */
const CASES: Record<
  Exclude<TriggerKind, 'outOfMemory' | 'interval'>,
  [WatchedRule, (n: number) => Readings, object]
> = {
  stall: [
    { on: 'stall', longerThanMs: 500 },
    (n) => well(n, { stalls: [{ durationMs: 501 }, { durationMs: 900, route: '/slow' }, { durationMs: 3 }] }),
    { durationMs: 900, route: '/slow', longerThanMs: 500 },
  ],
  highLoad: [
    { on: 'highLoad', utilizationAbove: 0.9, forMs: 5000 },
    (n) => well(n, { loop: { activeMs: 300_000 + 950 * (n - 1000), idleMs: 700_000 + 50 * (n - 1000) } }),
    { utilization: expect.closeTo(0.95) as number, utilizationAbove: 0.9, forMs: 5000 },
  ],
  rss: [
    { on: 'rss', shareAbove: 0.8 },
    (n) => well(n, { rssBytes: 0.81 * GB }),
    { rssBytes: 0.81 * GB, memoryLimitBytes: GB, share: 0.81, shareAbove: 0.8 },
  ],
  heap: [
    { on: 'heap', shareAbove: 0.8 },
    (n) => well(n, { heapUsedBytes: 100e6, heapLimitBytes: 110e6 }),
    { heapUsedBytes: 100e6, heapLimitBytes: 110e6, share: 100 / 110, shareAbove: 0.8 },
  ],
  heapGrowth: [
    { on: 'heapGrowth', timesAverageAbove: 1.5, overMs: 200_000 },
    (n) => well(n, sawTooth(n, 250e6)),
    { heapUsedBytes: 250e6, averageBytes: expect.closeTo(100e6, -7) as number, timesAverageAbove: 1.5 },
  ],
  latency: [
    { on: 'latency', p99AboveMs: 500 },
    (n) => well(n, requests(route({ p99Ms: 501 }), route({ route: '/worst', p99Ms: 700 }), route({}))),
    { method: 'GET', route: '/worst', requests: 1000, overMs: 30_000, p99Ms: 700, p99AboveMs: 500 },
  ],
  errors: [
    { on: 'errors', shareAbove: 0.05 },
    (n) => well(n, requests(route({ errors: 60 }), route({ route: '/worst', errors: 8, count: 80 }))),
    { method: 'GET', route: '/worst', requests: 80, overMs: 30_000, errors: 8, share: 0.1, shareAbove: 0.05 },
  ],
  signal: [
    { on: 'signal', signal: 'SIGUSR2' },
    (n) => well(n, { signals: ['SIGUSR2'] }),
    { signal: 'SIGUSR2' },
  ],
};

const KINDS = Object.keys(CASES) as (keyof typeof CASES)[];
const ALL_RULES = KINDS.map((kind) => CASES[kind][0]);

/** What fires in [from, to) seconds, one reading a second. */
function firedIn(triggers: Triggers, from: number, to: number, readings: (n: number) => Readings) {
  const fired: { second: number; on: string; values: object; heldBackBefore: number }[] = [];
  for (let second = from; second < to; second++) {
    for (const firing of triggers.evaluate(readings(second), second * 1000).fired)
      fired.push({ second, ...firing });
  }
  return fired;
}

it('no rule fires while all is well, for a day', () => {
  expect(firedIn(new Triggers(ALL_RULES), 0, 86_400, well)).toEqual([]);
});

describe.each(KINDS)('%s', (kind) => {
  const [rule, bad, values] = CASES[kind];

  it('fires in its case, with the values, and no other rule does', () => {
    const triggers = new Triggers(ALL_RULES);
    firedIn(triggers, 0, 1000, well);
    const fired = firedIn(triggers, 1000, 1060, bad);
    expect(fired.map(({ on }) => on)).toEqual(new Array(fired.length).fill(kind));
    expect(fired[0]).toMatchObject({ on: kind, values, heldBackBefore: 0 });
  });

  it('fires once per cooldown while the condition lasts, and tells once that it is held back', () => {
    const triggers = new Triggers([{ ...rule, cooldownMs: MINUTE_MS, maxPerHour: 3600 }]);
    firedIn(triggers, 0, 1000, well);
    const firedAt: number[] = [];
    let told = 0;
    for (let second = 1000; second < 1300; second++) {
      const { fired, heldBack } = triggers.evaluate(bad(second), second * 1000);
      if (fired.length > 0) firedAt.push(second);
      told += heldBack.length;
      for (const held of heldBack) {
        expect(held).toMatchObject({ on: kind, because: 'cooldown' });
        expect(held.forMs).toBeLessThan(MINUTE_MS);
      }
    }
    // Growth is none any more once the average has come up.
    if (kind !== 'heapGrowth') expect(firedAt.length).toBeGreaterThanOrEqual(5);
    firedAt.slice(1).forEach((second, index) => {
      expect(second - (firedAt[index] as number)).toBeGreaterThanOrEqual(60);
      expect(second - (firedAt[index] as number)).toBeLessThan(72);
    });
    expect(told).toBeLessThanOrEqual(firedAt.length);
    if (kind !== 'heapGrowth') expect(told).toBeGreaterThanOrEqual(firedAt.length - 1);
  });

  it('stays within its budget in 10 000 conditions in a row', () => {
    const triggers = new Triggers([{ ...rule, cooldownMs: 0, maxPerHour: 4 }]);
    firedIn(triggers, 0, 1000, well);
    const fired = firedIn(triggers, 1000, 11_000, bad);
    expect(fired.length).toBeLessThanOrEqual(12);
    for (const { second } of fired)
      expect(
        fired.filter((other) => other.second > second - 3600 && other.second <= second).length,
      ).toBeLessThanOrEqual(4);
    if (kind === 'heapGrowth') return;
    expect(fired).toHaveLength(12);
    const held = fired.reduce((sum, { heldBackBefore }) => sum + heldBackBefore, 0);
    if (kind !== 'highLoad') expect(fired.length + held).toBe(fired.at(-1)!.second - 999);
  });
});

describe('a rule that is held back by its budget', () => {
  it('says so once, and for how long', () => {
    const triggers = new Triggers([{ on: 'rss', shareAbove: 0.1, cooldownMs: 0, maxPerHour: 2 }]);
    const verdicts = [0, 10, 20, 30].map((second) => triggers.evaluate(well(second), second * 1000));
    expect(verdicts.map(({ fired }) => fired.length)).toEqual([1, 1, 0, 0]);
    expect(verdicts.map(({ heldBack }) => heldBack)).toEqual([
      [],
      [],
      [{ on: 'rss', values: expect.any(Object) as object, because: 'budget', forMs: 3_580_000 }],
      [],
    ]);
    const again = triggers.evaluate(well(3600), 3_600_000);
    expect(again.fired.map(({ heldBackBefore }) => heldBackBefore)).toEqual([2]);
  });
});

describe('highLoad', () => {
  const rule: WatchedRule = { on: 'highLoad', utilizationAbove: 0.9, forMs: 5000 };

  it('needs the whole of forMs without a quiet second', () => {
    const triggers = new Triggers([rule]);
    let activeMs = 0;
    let idleMs = 0;
    const fired = firedIn(triggers, 0, 100, (n) => {
      const busy = n % 5 === 0 ? 0 : 1000;
      activeMs += busy;
      idleMs += 1000 - busy;
      return well(n, { loop: { activeMs, idleMs } });
    });
    expect(fired).toEqual([]);
  });

  it('sees a block that no reading came through', () => {
    const triggers = new Triggers([rule]);
    triggers.evaluate(well(1), 1000);
    const { fired } = triggers.evaluate(well(9, { loop: { activeMs: 300 + 8000, idleMs: 700 } }), 9000);
    expect(fired.map(({ values }) => values)).toEqual([
      { utilization: 1, utilizationAbove: 0.9, forMs: 8000 },
    ]);
  });

  it('takes readings between two harvests, which know nothing new, for neither busy nor quiet', () => {
    const triggers = new Triggers([rule]);
    const fired = firedIn(triggers, 0, 30, (n) => {
      const knownMs = 1000 * (n - (n % 3));
      return well(n, { loop: { activeMs: knownMs, idleMs: 0 } });
    });
    expect(fired).toHaveLength(1);
  });
});

describe('heapGrowth', () => {
  const rule: WatchedRule = { on: 'heapGrowth', timesAverageAbove: 1.5, overMs: 200_000 };

  it('says nothing about a start, however much it grows', () => {
    const triggers = new Triggers([rule]);
    expect(firedIn(triggers, 0, 200, (n) => well(n, sawTooth(n, 1e6 * 1.03 ** n)))).toEqual([]);
  });

  it('takes peaks between collections for what they are', () => {
    const triggers = new Triggers([rule]);
    firedIn(triggers, 0, 1000, well);
    const peaks = (n: number) => well(n, { heapUsedBytes: n % 8 === 0 ? 100e6 : 400e6 });
    expect(firedIn(triggers, 1000, 3000, peaks)).toEqual([]);
  });

  it('needs growth by minBytes', () => {
    const small = (n: number) => well(n, sawTooth(n, n < 1000 ? 10e6 : 40e6));
    expect(firedIn(new Triggers([rule]), 0, 1100, small)).toEqual([]);
    expect(firedIn(new Triggers([{ ...rule, minBytes: 25e6 }]), 0, 1100, small)).toHaveLength(1);
  });

  it('sees a leak that goes on steadily', () => {
    const leak = (n: number) => well(n, sawTooth(n, 100e6 + Math.max(0, n - 1000) * 4e6));
    const [first] = firedIn(new Triggers([rule]), 0, 1200, leak);
    expect(first?.second).toBeGreaterThan(1000);
    expect(first?.second).toBeLessThan(1100);
  });
});

describe('heapGrowth and garbage', () => {
  const rule: WatchedRule = { on: 'heapGrowth', timesAverageAbove: 1.5 };

  /** As V8 does with a cache of 100 MB whose entries are replaced all the time: the faster that is, the shorter the period. */
  const steady = (periodSeconds: number) => (n: number) => {
    const share = (n % periodSeconds) / periodSeconds;
    const collected = { times: Math.floor(n / periodSeconds), leftBytes: 113e6 };
    return well(n, { heapUsedBytes: 113e6 + share * 320e6, collected });
  };

  it.each([12, 30, 49, 98, 147, 245, 735, 3000])(
    'garbage that is collected every %d s is no growth',
    (periodSeconds) => {
      expect(firedIn(new Triggers([rule]), 0, 20_000, steady(periodSeconds))).toEqual([]);
    },
  );

  it.each([12, 49, 147, 245])('what is left of it every %d s is', (periodSeconds) => {
    const leaking = (n: number) => {
      const { heapUsedBytes, collected } = steady(periodSeconds)(n);
      const leakedBytes = Math.max(0, collected.times * periodSeconds - 5000) * 1e6;
      return well(n, {
        heapUsedBytes: heapUsedBytes + leakedBytes,
        collected: { ...collected, leftBytes: collected.leftBytes + leakedBytes },
      });
    };
    const [first] = firedIn(new Triggers([rule]), 0, 6000, leaking);
    expect(first?.second).toBeGreaterThan(5000);
  });

  it('what one collection comes upon, and the next takes away, is no growth', () => {
    const job = (n: number) =>
      well(n, { heapUsedBytes: 300e6, collected: { times: n, leftBytes: n % 40 === 0 ? 300e6 : 100e6 } });
    const fast: WatchedRule = { ...rule, overMs: 10_000 };
    expect(firedIn(new Triggers([fast]), 0, 5000, job)).toEqual([]);
  });

  it('a heap that was filled at the start, and not collected for long, has not grown', () => {
    const collected = (n: number) => ({
      times: n < 3600 ? 1 : 2 + Math.floor(n / 100),
      leftBytes: n < 3600 ? 5e6 : 80e6,
    });
    const filled = (n: number) => well(n, { heapUsedBytes: 100e6, collected: collected(n) });
    expect(firedIn(new Triggers([rule]), 0, 7200, filled)).toEqual([]);
  });

  describe('while the event loop is blocked, which tells of no collection', () => {
    const blocked = (grownBytes: number) => (n: number) => {
      if (n < 2000) return well(n, sawTooth(n, 100e6));
      const heapUsedBytes = 100e6 + grownBytes * Math.min(1, (n - 2000) / 60) + (n % 20) * 12e6;
      return well(n, { heapUsedBytes, collected: sawTooth(1999, 100e6).collected });
    };

    it('growth shows in what is used when some of it has been collected', () => {
      const [first] = firedIn(new Triggers([rule]), 0, 2200, blocked(200e6));
      expect(first?.second).toBeGreaterThan(2000);
    });

    it('garbage is no growth', () => {
      expect(firedIn(new Triggers([rule]), 0, 4000, blocked(0))).toEqual([]);
    });

    it('a collection that is told of afterwards is not another one', () => {
      const triggers = new Triggers([{ ...rule, overMs: 10_000 }]);
      const used = [300e6, 300e6, 250e6, 250e6, 250e6, 250e6];
      firedIn(triggers, 0, 100, (n) => well(n, sawTooth(n, 100e6)));
      const returned = (n: number) => {
        const times = n < 103 ? 10 : 11;
        return well(n, {
          heapUsedBytes: used[n - 100] as number,
          collected: { times, leftBytes: times === 10 ? 100e6 : 250e6 },
        });
      };
      expect(firedIn(triggers, 100, 106, returned)).toEqual([]);
    });
  });
});

describe('latency and errors', () => {
  it.each([
    ['another route', { route: '/orders' }, 0],
    ['the route', { route: '/users/:id' }, 1],
    ['another method', { method: 'POST' }, 0],
    ['route and method', { method: 'GET', route: '/users/:id' }, 1],
    ['more requests than there were', { minRequests: 1001 }, 0],
    ['as many requests as there were', { minRequests: 1000 }, 1],
    ['stretches of another length', { overMs: 60_000 }, 0],
  ])('of %s', (_what, scope, times) => {
    const bad = well(1, requests(route({ p99Ms: 900, errors: 500 })));
    const triggers = new Triggers([
      { on: 'latency', p99AboveMs: 500, ...scope },
      { on: 'errors', shareAbove: 0.1, ...scope },
    ]);
    expect(triggers.evaluate(bad, 0).fired.map(({ on }) => on)).toEqual(times ? ['latency', 'errors'] : []);
  });
});

describe('interval', () => {
  it('fires every everyMs from the first reading on, and once after a long block', () => {
    const triggers = new Triggers([{ on: 'interval', everyMs: 5 * MINUTE_MS }]);
    expect(firedIn(triggers, 10, 1000, well).map(({ second }) => second)).toEqual([310, 610, 910]);
    expect(triggers.evaluate(well(3000), 3_000_000).fired).toHaveLength(1);
    expect(triggers.evaluate(well(3001), 3_001_000).fired).toHaveLength(0);
  });
});

describe('stall', () => {
  const rule: WatchedRule = { on: 'stall', longerThanMs: 500, cooldownMs: 0 };
  const ongoing = (n: number, durationMs: number): Readings =>
    well(n, { stalls: [{ startedMs: n * 1000 - durationMs, durationMs, ongoing: true }] });
  const ended = (n: number, startedMs: number, durationMs: number): Readings =>
    well(n, { stalls: [{ startedMs, durationMs }] });

  it('fires once for one that is seen again and again, and then in full', () => {
    const triggers = new Triggers([rule]);
    const firedAt = (readings: Readings, n: number) => triggers.evaluate(readings, n * 1000).fired.length;
    expect(firedAt(ongoing(10, 400), 10)).toBe(0);
    expect(firedAt(ongoing(11, 1400), 11)).toBe(1);
    expect(firedAt(ongoing(12, 2400), 12)).toBe(0);
    // The one that was blocked knows better when that began.
    expect(firedAt(ended(13, 9540, 3000), 13)).toBe(0);
    expect(firedAt(ended(14, 12_600, 800), 14)).toBe(1);
  });

  it('that is held back while it lasts fires when it may', () => {
    const triggers = new Triggers([{ ...rule, cooldownMs: 5000 }]);
    const seconds = [11, 12, 13, 14, 15, 16, 17];
    triggers.evaluate(ended(10, 9000, 600), 10_000);
    const fired = seconds.filter(
      (n) => triggers.evaluate(ongoing(n, (n - 10) * 1000), n * 1000).fired.length > 0,
    );
    expect(fired).toEqual([15]);
  });
});

describe('two that follow each other', () => {
  it.each(KINDS)('%s: fires when one would, whoever looks', (kind) => {
    const [rule, bad] = CASES[kind];
    const rules: WatchedRule[] = [{ ...rule, cooldownMs: 20_000, maxPerHour: 3 }];
    const [one, first, second] = [new Triggers(rules), new Triggers(rules), new Triggers(rules)];
    for (let n = 0; n < 1200; n++) {
      const readings = n < 1000 ? well(n) : bad(n);
      // In turns of uneven length.
      const [looks, follows] = n % 7 < 3 ? [first, second] : [second, first];
      const look = looks.look(readings, n * 1000);
      follows.follow(look);
      expect(look.verdict).toEqual(one.evaluate(readings, n * 1000));
    }
  });

  it('one that comes late knows what is used up', () => {
    const rules: WatchedRule[] = [{ on: 'rss', shareAbove: 0.1 }];
    const first = new Triggers(rules);
    first.evaluate(well(1), 1000);
    const late = new Triggers(rules);
    late.follow(first.look(well(2), 2000));
    expect(late.evaluate(well(3), 3000)).toEqual({ fired: [], heldBack: [] });
    expect(late.evaluate(well(400), 400_000).fired.map(({ heldBackBefore }) => heldBackBefore)).toEqual([2]);
  });
});
