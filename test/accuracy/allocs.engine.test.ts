/** Allocations against programs that allocate known amounts. */
import { setTimeout as sleep } from 'node:timers/promises';
import { startService, type Service } from '../support/child.js';
import { fetchProfile } from '../support/fetch.js';
import {
  COUNTS_TOTALS,
  cumulativeOf,
  HEAP_TYPES,
  readProfile,
  type ReadProfile,
} from '../support/profile.js';

const MB = 1024 * 1024;
const IN_USE = ['inuse_objects/count', 'inuse_space/bytes'];
const ALLOCATED = ['alloc_objects/count', 'alloc_space/bytes'];
const WINDOWS = { allocTotals: false, allocWindows: true, memorySampleBytes: 65_536 };

let service: Service | undefined;
let base = '';
let program = '';
afterEach(() => service?.stop());

async function start(config: object): Promise<void> {
  service = await startService('allocate.cjs', { args: [JSON.stringify(config)] });
  base = service.url;
  [base = '', program = ''] = service.line.split(' ').map((url) => url.replace(/\/$/, ''));
}

const ask = async (path: string): Promise<void> => void (await (await fetch(program + path)).text());

/** Bytes of a function and what it calls. */
const bytesOf = (profile: ReadProfile, name: string, type = 'alloc_space/bytes'): number =>
  cumulativeOf(profile, name, profile.sampleTypes.indexOf(type));

const notesOf = async (path: string): Promise<string> => {
  const response = await fetch(`${base}/${path}`);
  await response.arrayBuffer();
  return response.headers.get('x-loopprof-note') ?? '';
};

function expectShares(profile: ReadProfile, megabytes: number): void {
  const [most = 0, some = 0, little = 0] = ['litterMost', 'litterSome', 'litterLittle'].map((name) =>
    bytesOf(profile, name),
  );
  const total = most + some + little;
  const off = [most / total - 0.6, some / total - 0.3, little / total - 0.1].map((share) => Math.abs(share));
  expect(Math.max(...off)).toBeLessThan(0.03);
  expect(total / (megabytes * MB)).toBeGreaterThan(0.9);
  expect(total / (megabytes * MB)).toBeLessThan(1.15);
}

describe('three functions that allocate 60 : 30 : 10 of 200 MB of short-lived objects', () => {
  it('show with these shares in a window', async () => {
    await start(WINDOWS);
    await ask('/litter?mb=20');
    const window = fetchProfile(`${base}/allocs?seconds=2`);
    await sleep(300);
    await ask('/litter?mb=200');
    const profile = await window;
    expect(profile.sampleTypes).toEqual(ALLOCATED);
    expect(profile.period).toBe(65_536);
    expect(profile.durationMs).toBeGreaterThanOrEqual(1999);
    expectShares(profile, 200);
  });

  (COUNTS_TOTALS ? it : it.skip)('show with these shares in all since the start', async () => {
    await start({ memorySampleBytes: 65_536 });
    await ask('/litter?mb=200');
    const profile = await fetchProfile(`${base}/allocs`);
    expect(profile.sampleTypes).toEqual([...ALLOCATED, ...IN_USE]);
    expectShares(profile, 200);
  });
});

describe('allocs', () => {
  it("has Go's types as far as this Node tells them, and shows what was allocated first", async () => {
    await start({});
    for (const path of ['heap', 'allocs', 'delta_heap']) {
      const { sampleTypes, proto } = await fetchProfile(`${base}/${path}`);
      expect(sampleTypes).toEqual(HEAP_TYPES);
      expect(proto.stringTable.strings[Number(proto.defaultSampleType)]).toBe(
        path === 'allocs' && COUNTS_TOTALS ? 'alloc_space' : '',
      );
    }
  });

  (COUNTS_TOTALS ? it.skip : it)('of a window is a 501 that names the field to set', async () => {
    await start({});
    const response = await fetch(`${base}/allocs?seconds=1`);
    expect([response.status, response.headers.get('x-go-pprof')]).toEqual([501, '1']);
    expect(await response.text()).toContain('set `allocWindows: true`');
  });

  it('of overlapping windows is in each what was allocated in it', async () => {
    await start(WINDOWS);
    const long = fetchProfile(`${base}/allocs?seconds=3`);
    await sleep(300);
    await ask('/litter?mb=100');
    const short = fetchProfile(`${base}/allocs?seconds=1`);
    await sleep(300);
    await ask('/litter?mb=50');
    expect(bytesOf(await short, 'litter') / (50 * MB)).toBeGreaterThan(0.85);
    expect(bytesOf(await short, 'litter') / (50 * MB)).toBeLessThan(1.2);
    expect(bytesOf(await long, 'litter') / (150 * MB)).toBeGreaterThan(0.9);
    expect(bytesOf(await long, 'litter') / (150 * MB)).toBeLessThan(1.15);
  });

  it('of a window leaves heap as it was, and anew after it, and both say so', async () => {
    await start(WINDOWS);
    await ask('/keep?mb=50');
    const kept = async () =>
      bytesOf(await fetchProfile(`${base}/heap`), 'keepRecords', 'inuse_space/bytes') / MB;
    const before = await kept();
    expect(before).toBeGreaterThan(40);
    expect(await notesOf('heap')).toBe('');

    const window = fetchProfile(`${base}/allocs?seconds=2`);
    await sleep(300);
    const lent = await kept();
    expect(lent / before).toBeGreaterThan(0.9);
    await ask('/keep?mb=20');
    expect(await kept()).toBe(lent);
    expect(await notesOf('heap')).toMatch(/^what is live is as of \d{4}-\d\d-\d\dT/);
    expect(bytesOf(await window, 'keepRecords') / MB).toBeGreaterThan(15);

    expect(await kept()).toBe(0);
    expect(await notesOf('heap')).toMatch(/: what is live counts allocations since \d{4}-\d\d-\d\dT/);
    await ask('/keep?mb=30');
    expect(await kept()).toBeGreaterThan(20);
    expect(await kept()).toBeLessThan(45);
  });

  it('gives the sampler back when the client of a window hangs up', async () => {
    await start(WINDOWS);
    const controller = new AbortController();
    const window = fetch(`${base}/allocs?seconds=60`, { signal: controller.signal }).catch(() => 'gone');
    await sleep(500);
    expect(await notesOf('heap')).toContain('what is live is as of');
    controller.abort();
    expect(await window).toBe('gone');
    while ((await notesOf('heap')).includes('what is live is as of')) await sleep(50);
    await ask('/keep?mb=30');
    expect(
      bytesOf(await fetchProfile(`${base}/heap`), 'keepRecords', 'inuse_space/bytes') / MB,
    ).toBeGreaterThan(20);
  });
});

(COUNTS_TOTALS ? describe : describe.skip)('what is allocated since the start', () => {
  it('only grows, while what is live comes and goes', async () => {
    await start({ memorySampleBytes: 65_536 });
    await ask('/keep?mb=50');
    const kept = await fetchProfile(`${base}/heap?gc=1`);
    await ask('/drop');
    await ask('/litter?mb=20');
    const dropped = await fetchProfile(`${base}/heap?gc=1`);
    expect(bytesOf(kept, 'keepRecords', 'inuse_space/bytes') / MB).toBeGreaterThan(40);
    expect(bytesOf(dropped, 'keepRecords', 'inuse_space/bytes') / MB).toBeLessThan(1);
    expect(bytesOf(dropped, 'keepRecords')).toBeGreaterThanOrEqual(bytesOf(kept, 'keepRecords'));
    expect(bytesOf(dropped, 'litter')).toBeGreaterThan(15 * MB);
    expect(bytesOf(kept, 'litter')).toBe(0);
  });

  it('goes on when the sampler begins anew, and what is live counts from then', async () => {
    await start({ memorySampleBytes: 1024 });
    await ask('/keep?mb=20');
    await ask('/litter?mb=150');
    const before = await fetchProfile(`${base}/heap`);
    expect(bytesOf(before, 'keepRecords', 'inuse_space/bytes') / MB).toBeGreaterThan(15);
    while ((await notesOf('heap')) === '') await sleep(200);
    expect(await notesOf('heap')).toMatch(/`allocTotals: false`.*what is live counts allocations since/);
    await ask('/litter?mb=10');
    const after = await fetchProfile(`${base}/heap`);
    expect(bytesOf(after, 'keepRecords')).toBe(bytesOf(before, 'keepRecords'));
    expect(bytesOf(after, 'keepRecords', 'inuse_space/bytes')).toBe(0);
    expect((bytesOf(after, 'litter') - bytesOf(before, 'litter')) / MB).toBeGreaterThan(7);
  });
});

describe('delta_heap', () => {
  /** As a scraper that names itself, or does not. */
  const deltaFor = async (userAgent: string, query = ''): Promise<ReadProfile> => {
    const response = await fetch(`${base}/delta_heap${query}`, { headers: { 'user-agent': userAgent } });
    return readProfile(new Uint8Array(await response.arrayBuffer()));
  };

  it('gives what is live as it is, whoever asks', async () => {
    await start({ memorySampleBytes: 65_536 });
    await ask('/keep?mb=50');
    for (const agent of ['Alloy/1', 'Alloy/1', 'Alloy/2']) {
      expect(bytesOf(await deltaFor(agent), 'keepRecords', 'inuse_space/bytes') / MB).toBeGreaterThan(40);
    }
  });

  (COUNTS_TOTALS ? it : it.skip)('gives each client what was allocated since it asked before', async () => {
    await start({ memorySampleBytes: 65_536 });
    const littered = async (...client: Parameters<typeof deltaFor>) =>
      bytesOf(await deltaFor(...client), 'litter') / MB;
    await ask('/litter?mb=50');
    expect(await littered('Alloy/1')).toBeGreaterThan(40);
    expect(await littered('Alloy/1')).toBe(0);
    await ask('/litter?mb=20');
    expect(await littered('Alloy/1')).toBeGreaterThan(15);
    expect(await littered('Alloy/2')).toBeGreaterThan(60);
    expect(await littered('Alloy/2', '?client=b')).toBeGreaterThan(60);
    expect(await littered('Alloy/1', '?seconds=14')).toBe(0);
    await fetch(`${base}/delta_heap`, { method: 'HEAD', headers: { 'user-agent': 'Alloy/3' } });
    expect(await littered('Alloy/3')).toBeGreaterThan(60);
  });
});
