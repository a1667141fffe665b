/** Allocations against programs that allocate known amounts. */
import { setTimeout as sleep } from 'node:timers/promises';
import { NOTHING_INLINED, startService } from '../support/child.js';
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
/** What heap notes while the sampler counts for a window. */
const LENT = 'what is live is as of';
const WINDOWS = { allocTotals: false, allocWindows: true, memorySampleBytes: 65_536 };

/** A program that allocates what it is asked to, and its profiler. */
interface Program {
  /** The profiler's index page, without the slash at its end. */
  base: string;
  ask: (path: string) => Promise<void>;
  /** What the profiler notes beside a profile. */
  notesOf: (path: string) => Promise<string>;
  /** Starts a window of allocs and waits until it is open. */
  openWindow: (seconds: number) => Promise<{ profile: Promise<ReadProfile> }>;
}

async function runProgram(config: object, use: (program: Program) => Promise<void>): Promise<void> {
  const service = await startService('allocate.cjs', {
    args: [JSON.stringify(config)],
    nodeArgs: NOTHING_INLINED,
  });
  const [base = '', origin = ''] = service.line.split(' ').map((url) => url.replace(/\/$/, ''));
  const notesOf = async (path: string): Promise<string> => {
    const response = await fetch(`${base}/${path}`);
    await response.arrayBuffer();
    return response.headers.get('x-loopprof-note') ?? '';
  };
  try {
    await use({
      base,
      ask: async (path) => void (await (await fetch(origin + path)).text()),
      notesOf,
      openWindow: async (seconds) => {
        const profile = fetchProfile(`${base}/allocs?seconds=${seconds}`);
        while (!(await notesOf('heap')).includes(LENT)) await sleep(20);
        return { profile };
      },
    });
  } finally {
    await service.stop();
  }
}

/** Bytes of a function and what it calls. */
const bytesOf = (profile: ReadProfile, name: string, type = 'alloc_space/bytes'): number =>
  cumulativeOf(profile, name, profile.sampleTypes.indexOf(type));

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

describe.each(['datadog', 'inspector'])('by the engine %s', (engine) => {
  /** The inspector tells all allocations from live ones on no Node. */
  const countsTotals = COUNTS_TOTALS && engine === 'datadog';
  const inWindows = countsTotals ? it.concurrent.skip : it.concurrent;
  const inTotals = countsTotals ? it.concurrent : it.concurrent.skip;
  const withProgram = (config: object, use: (program: Program) => Promise<void>): Promise<void> =>
    runProgram({ engine, ...config }, use);

  describe('three functions that allocate 60 : 30 : 10 of 200 MB of short-lived objects', () => {
    it.concurrent('show with these shares in a window', () =>
      withProgram(WINDOWS, async ({ ask, openWindow }) => {
        await ask('/litter?mb=20');
        const window = await openWindow(2);
        await ask('/litter?mb=200');
        const profile = await window.profile;
        expect(profile.sampleTypes).toEqual(ALLOCATED);
        expect(profile.period).toBe(65_536);
        expect(profile.durationMs).toBeGreaterThanOrEqual(1999);
        expectShares(profile, 200);
      }),
    );

    inTotals('show with these shares in all since the start', () =>
      withProgram({ memorySampleBytes: 65_536 }, async ({ base, ask }) => {
        await ask('/litter?mb=200');
        const profile = await fetchProfile(`${base}/allocs`);
        expect(profile.sampleTypes).toEqual([...ALLOCATED, ...IN_USE]);
        expectShares(profile, 200);
      }),
    );
  });

  describe('allocs', () => {
    it.concurrent("has Go's types as far as they are told, and shows what was allocated first", () =>
      withProgram({}, async ({ base }) => {
        for (const path of ['heap', 'allocs', 'delta_heap']) {
          const { sampleTypes, proto } = await fetchProfile(`${base}/${path}`);
          expect(sampleTypes).toEqual(countsTotals ? HEAP_TYPES : IN_USE);
          expect(proto.stringTable.strings[Number(proto.defaultSampleType)]).toBe(
            path === 'allocs' && countsTotals ? 'alloc_space' : '',
          );
        }
      }),
    );

    inWindows('of a window is a 501 that names the field to set', () =>
      withProgram({}, async ({ base }) => {
        const response = await fetch(`${base}/allocs?seconds=1`);
        expect([response.status, response.headers.get('x-go-pprof')]).toEqual([501, '1']);
        expect(await response.text()).toContain('set `allocWindows: true`');
      }),
    );

    it.concurrent('of overlapping windows is in each what was allocated in it', () =>
      withProgram(WINDOWS, async ({ base, ask, openWindow }) => {
        const long = await openWindow(4);
        await ask('/litter?mb=100');
        const short = fetchProfile(`${base}/allocs?seconds=2`);
        await sleep(500);
        await ask('/litter?mb=50');
        expect(bytesOf(await short, 'litter') / (50 * MB)).toBeGreaterThan(0.85);
        expect(bytesOf(await short, 'litter') / (50 * MB)).toBeLessThan(1.2);
        expect(bytesOf(await long.profile, 'litter') / (150 * MB)).toBeGreaterThan(0.9);
        expect(bytesOf(await long.profile, 'litter') / (150 * MB)).toBeLessThan(1.15);
      }),
    );

    it.concurrent('of a window leaves heap as it was, and anew after it, and both say so', () =>
      withProgram(WINDOWS, async ({ base, ask, notesOf, openWindow }) => {
        await ask('/keep?mb=50');
        const kept = async () =>
          bytesOf(await fetchProfile(`${base}/heap`), 'keepRecords', 'inuse_space/bytes') / MB;
        const before = await kept();
        expect(before).toBeGreaterThan(40);
        expect(await notesOf('heap')).toBe('');

        const window = await openWindow(2);
        const lent = await kept();
        expect(lent / before).toBeGreaterThan(0.9);
        await ask('/keep?mb=20');
        expect(await kept()).toBe(lent);
        expect(await notesOf('heap')).toMatch(/^what is live is as of \d{4}-\d\d-\d\dT/);
        expect(bytesOf(await window.profile, 'keepRecords') / MB).toBeGreaterThan(15);

        expect(await kept()).toBe(0);
        expect(await notesOf('heap')).toMatch(
          /: allocations from before \d{4}-\d\d-\d\dT\S+ are not counted as live$/,
        );
        await ask('/keep?mb=30');
        expect(await kept()).toBeGreaterThan(20);
        expect(await kept()).toBeLessThan(45);
      }),
    );

    it.concurrent('gives the sampler back when the client of a window hangs up', () =>
      withProgram(WINDOWS, async ({ base, ask, notesOf }) => {
        const controller = new AbortController();
        const { signal } = controller;
        const window = fetch(`${base}/allocs?seconds=60`, { signal }).catch(() => 'gone');
        while (!(await notesOf('heap')).includes(LENT)) await sleep(20);
        controller.abort();
        expect(await window).toBe('gone');
        while ((await notesOf('heap')).includes(LENT)) await sleep(20);
        await ask('/keep?mb=30');
        expect(
          bytesOf(await fetchProfile(`${base}/heap`), 'keepRecords', 'inuse_space/bytes') / MB,
        ).toBeGreaterThan(20);
      }),
    );
  });

  describe('what is allocated since the start', () => {
    inTotals('only grows, while what is live comes and goes', () =>
      withProgram({ memorySampleBytes: 65_536 }, async ({ base, ask }) => {
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
      }),
    );

    inTotals('goes on when the sampler begins anew, and what is live counts from then', () =>
      withProgram({ memorySampleBytes: 1024 }, async ({ base, ask, notesOf }) => {
        await ask('/keep?mb=20');
        await ask('/litter?mb=150');
        const before = await fetchProfile(`${base}/heap`);
        expect(bytesOf(before, 'keepRecords', 'inuse_space/bytes') / MB).toBeGreaterThan(15);
        let note: string;
        while ((note = await notesOf('heap')) === '') await sleep(200);
        expect(note).toMatch(/`allocTotals: false`.*: allocations from before \S+ are not counted as live$/);
        await ask('/litter?mb=10');
        const after = await fetchProfile(`${base}/heap`);
        expect(bytesOf(after, 'keepRecords')).toBe(bytesOf(before, 'keepRecords'));
        expect(bytesOf(after, 'keepRecords', 'inuse_space/bytes')).toBe(0);
        expect((bytesOf(after, 'litter') - bytesOf(before, 'litter')) / MB).toBeGreaterThan(7);
      }),
    );
  });

  describe('delta_heap', () => {
    /** As a scraper that names itself, or does not. */
    const deltaFor = async (url: string, userAgent: string): Promise<ReadProfile> => {
      const response = await fetch(url, { headers: { 'user-agent': userAgent } });
      return readProfile(new Uint8Array(await response.arrayBuffer()));
    };

    it.concurrent('gives what is live as it is, whoever asks', () =>
      withProgram({ memorySampleBytes: 65_536 }, async ({ base, ask }) => {
        await ask('/keep?mb=50');
        for (const agent of ['Alloy/1', 'Alloy/1', 'Alloy/2']) {
          const delta = await deltaFor(`${base}/delta_heap`, agent);
          expect(bytesOf(delta, 'keepRecords', 'inuse_space/bytes') / MB).toBeGreaterThan(40);
        }
      }),
    );

    inTotals('gives each client what was allocated since it asked before', () =>
      withProgram({ memorySampleBytes: 65_536 }, async ({ base, ask }) => {
        const littered = async (agent: string, query = '') =>
          bytesOf(await deltaFor(`${base}/delta_heap${query}`, agent), 'litter') / MB;
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
      }),
    );
  });
});
