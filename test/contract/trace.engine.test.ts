/** The trace: events by the rules of the format, and what they say of a program that is known. */
import { setTimeout as sleep } from 'node:timers/promises';
import { startService, type Service } from '../support/child.js';

interface TraceEvent {
  name: string;
  ph: string;
  cat?: string;
  ts: number;
  dur?: number;
  pid: number;
  tid: number;
  id?: string;
  args?: Record<string, unknown>;
}

interface ProfileData {
  startTime?: number;
  cpuProfile?: {
    nodes?: { id: number; parent?: number; callFrame: { functionName: string; url: string } }[];
    samples?: number[];
  };
  timeDeltas?: number[];
}

const SECONDS = 1.75;

let service: Service;
let response: Response;
let events: TraceEvent[] = [];
let otherData: Record<string, unknown> = {};

beforeAll(async () => {
  service = await startService('traced.cjs', { args: [JSON.stringify({ sensitive: { trace: true } })] });
  await sleep(500);
  response = await fetch(`${service.url}/trace?seconds=${SECONDS}`);
  ({ traceEvents: events, otherData } = (await response.json()) as {
    traceEvents: TraceEvent[];
    otherData: Record<string, unknown>;
  });
});
afterAll(() => service.stop());

const endOf = ({ ts, dur = 0 }: TraceEvent): number => ts + dur;
const track = (name: string): TraceEvent[] => {
  const { tid } = events.find(({ ph, args }) => ph === 'M' && args?.['name'] === name) as TraceEvent;
  return events.filter((event) => event.ph === 'X' && event.tid === tid);
};
const async = (category: string): { begin: TraceEvent; end: TraceEvent }[] =>
  events
    .filter(({ ph, cat }) => ph === 'b' && cat === category)
    .map((begin) => ({
      begin,
      end: events.find(({ ph, cat, id }) => ph === 'e' && cat === category && id === begin.id) as TraceEvent,
    }));

describe('a trace', () => {
  it('is JSON that a browser saves as a file', () => {
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'content-disposition': 'attachment; filename="trace.json"',
      'x-content-type-options': 'nosniff',
    });
    expect(otherData).toMatchObject({ node: process.version, notes: [] });
  });

  it('has events of known kinds, each with what its kind needs, in the order of time', () => {
    const wrong = events.filter(
      ({ name, ph, ts, dur, pid, tid, id }) =>
        typeof name !== 'string' ||
        name === '' ||
        !['M', 'X', 'b', 'e', 'P'].includes(ph) ||
        !(ts >= 0 && ts <= (SECONDS + 1) * 1e6) ||
        pid !== service.child.pid ||
        !Number.isInteger(tid) ||
        (ph === 'X' && !((dur as number) > 0)) ||
        (['b', 'e', 'P'].includes(ph) && !/^0x[0-9a-f]+$/.test(id ?? '')),
    );
    expect(wrong).toEqual([]);
    const timed = events.filter(({ ph }) => ph !== 'M').map(({ ts }) => ts);
    expect(timed).toEqual([...timed].sort((a, b) => a - b));
  });

  it('names the process and its tracks', () => {
    const named = events.filter(({ ph, name }) => ph === 'M' && /_name$/.test(name));
    expect(named.map(({ args }) => args?.['name'])).toEqual([
      expect.stringMatching(/traced\.cjs$/),
      'event loop',
      'event loop blocked',
      'garbage collection',
      'CPU samples',
    ]);
  });

  it('has slices that lie beside or within each other', () => {
    for (const name of ['event loop', 'event loop blocked', 'garbage collection']) {
      const open: TraceEvent[] = [];
      for (const slice of track(name)) {
        while (open.length > 0 && endOf(open.at(-1) as TraceEvent) <= slice.ts + 0.002) open.pop();
        const around = open.at(-1);
        if (around) expect(endOf(slice)).toBeLessThanOrEqual(endOf(around) + 0.002);
        open.push(slice);
      }
    }
  });

  it('ends all that it begins', () => {
    for (const category of ['requests', 'asynchronous operations']) {
      const pairs = async(category);
      expect(pairs.length).toBeGreaterThan(3);
      expect(pairs.filter(({ begin, end }) => !(end?.ts >= begin.ts && end.name === begin.name))).toEqual([]);
      expect(new Set(pairs.map(({ begin }) => begin.id)).size).toBe(pairs.length);
    }
  });
});

describe('of a known program, a trace shows', () => {
  it('each request with its route, its status and its length', () => {
    const requests = async('requests');
    const burnt = requests.filter(({ begin }) => begin.name === 'GET /burn/:id' && !begin.args?.['pending']);
    expect(burnt.length).toBeGreaterThan(2);
    for (const { begin, end } of burnt.filter(({ begin: { ts } }) => ts > 0)) {
      expect(begin.args).toMatchObject({ statusCode: 200, aborted: false });
      expect((end.ts - begin.ts) / 1000).toBeGreaterThan(59);
      expect(begin.args?.['eventLoopBlockedMs']).toBeGreaterThan(50);
    }
    expect(requests.filter(({ begin }) => begin.name === 'GET /read').length).toBeGreaterThan(5);
  });

  it('a request that is not answered as pending, from beginning to end', () => {
    const [hanging, ...others] = async('requests').filter(
      ({ begin }) => begin.args?.['pending'] && begin.name !== 'GET /read' && begin.name !== 'GET /burn/:id',
    );
    expect(others).toEqual([]);
    // Express has routes only for what they match; this one was reached before the trace began.
    expect(hanging?.begin).toMatchObject({ name: 'GET /hang', ts: 0 });
    expect((hanging?.end.ts ?? 0) / 1e6 / SECONDS).toBeGreaterThan(0.95);
  });

  it('what blocked the event loop, by route, inside one turn of it', () => {
    const blocked = track('event loop blocked').filter(({ name }) => name === 'GET /burn/:id');
    expect(blocked.length).toBeGreaterThan(2);
    const turns = track('event loop').filter(({ name }) => name === 'turn');
    // What began before the trace, or ended after it, is cut where the trace is.
    const traceEnd = Math.max(...async('requests').map(({ end }) => end.ts));
    for (const slice of blocked.filter((each) => each.ts > 0 && endOf(each) < traceEnd - 1000)) {
      expect((slice.dur as number) / 1000).toBeGreaterThan(55);
      const middle = slice.ts + (slice.dur as number) / 2;
      const turn = turns.find((each) => each.ts <= middle && endOf(each) >= middle);
      expect((turn?.dur ?? 0) / 1000).toBeGreaterThan(55);
    }
  });

  it('files and keys that were waited for', () => {
    const names = async('asynchronous operations').map(({ begin }) => begin.name);
    expect(names.filter((name) => name.startsWith('FSREQ')).length).toBeGreaterThan(3);
    expect(names).toContain('PBKDF2REQUEST');
  });

  it('garbage collections', () => {
    expect(track('garbage collection').map(({ name }) => name)).toContain('minor');
  });

  it('the functions that were found running', () => {
    const chunks = events.filter(({ ph }) => ph === 'P').map(({ args }) => args?.['data'] as ProfileData);
    expect(chunks[0]).toEqual({ startTime: 0 });
    const nodes = chunks.flatMap(({ cpuProfile }) => cpuProfile?.nodes ?? []);
    const known = new Set<number>();
    for (const { id, parent } of nodes) {
      expect(parent === undefined ? id === 1 : known.has(parent)).toBe(true);
      known.add(id);
    }
    const names = new Map(nodes.map(({ id, callFrame }) => [id, callFrame.functionName]));
    const samples = chunks.flatMap(({ cpuProfile }) => cpuProfile?.samples ?? []).map((id) => names.get(id));
    const deltas = chunks.flatMap(({ timeDeltas }) => timeDeltas ?? []);
    expect(deltas).toHaveLength(samples.length);
    expect(deltas.every((delta) => Number.isInteger(delta) && delta >= 0)).toBe(true);
    expect(deltas.reduce((sum, delta) => sum + delta, 0) / 1e6 / SECONDS).toBeLessThan(1.05);
    const counts = new Map<string | undefined, number>();
    for (const name of samples) counts.set(name, (counts.get(name) ?? 0) + 1);
    for (const name of ['(idle)', '(program)']) counts.delete(name);
    expect([...counts].sort((a, b) => b[1] - a[1])[0]?.[0]).toBe('burn');
  });
});

describe('trace', () => {
  const refusalOf = async (path: string, url = service.url): Promise<[number, string]> => {
    const refused = await fetch(`${url}/${path}`);
    return [refused.status, await refused.text()];
  };

  it('takes a fraction of a second, and a second when it is not told', async () => {
    for (const path of ['trace?seconds=0.25', 'trace']) {
      const { traceEvents } = (await (await fetch(`${service.url}/${path}`)).json()) as {
        traceEvents: TraceEvent[];
      };
      const last = Math.max(...traceEvents.map(endOf));
      expect(last / 1e6).toBeGreaterThan(path === 'trace' ? 0.9 : 0.2);
      expect(last / 1e6).toBeLessThan(path === 'trace' ? 5 : 4);
    }
  });

  it.each(['0', '-1', 'abc', '0.0001', '301', '1e1', '.5', ''])('refuses seconds=%s', async (text) => {
    const [status, message] = await refusalOf(`trace?seconds=${text}`);
    expect([status, message]).toEqual([
      400,
      `invalid value for "seconds" - must be a positive number up to 300 (maxSeconds), got "${text}"\n`,
    ]);
  });

  it('is recorded from now only', async () => {
    expect((await refusalOf('trace?from=now-5s'))[0]).toBe(400);
  });

  it('ends when the client hangs up, and can be had again', async () => {
    const controller = new AbortController();
    const gone = fetch(`${service.url}/trace?seconds=60`, { signal: controller.signal }).catch(() => 'gone');
    await sleep(200);
    controller.abort();
    expect(await gone).toBe('gone');
    expect((await fetch(`${service.url}/trace?seconds=0.1`)).status).toBe(200);
  });

  it('is closed unless it is named, and goes without CPU samples where there are none', async () => {
    const other = await startService('host.cjs', { args: ['{}'] });
    const bare = await startService('host.cjs', {
      args: [JSON.stringify({ sensitive: { trace: true }, enableCPU: false })],
    });
    try {
      expect(await refusalOf('trace', other.url)).toEqual([
        404,
        'trace is served only when it is named: set `sensitive: { trace: true }`.\n',
      ]);
      const { traceEvents } = (await (await fetch(`${bare.url}/trace?seconds=0.2`)).json()) as {
        traceEvents: TraceEvent[];
      };
      expect(traceEvents.filter(({ ph }) => ph === 'P')).toEqual([]);
      expect(traceEvents.filter(({ ph }) => ph === 'M').length).toBeGreaterThan(4);
    } finally {
      await Promise.all([other.stop(), bare.stop()]);
    }
  });
});
