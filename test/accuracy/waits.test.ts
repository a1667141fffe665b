import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { withService } from '../support/child.js';
import { fetchProfile } from '../support/fetch.js';
import { cumulativeOf, totalOf, type ReadProfile } from '../support/profile.js';

const CONTENTIONS = 0;
const DELAY = 1;

const THREADS = 4;

/** Longer than it takes a busy machine to begin with a capture. */
const BEGUN_MS = 700;

interface Piece {
  site: string;
  submittedMs: number;
  doneMs: number;
}

/** First come, first served: who comes n-th begins when the (n - 4)-th is done. */
function referenceQueueMs(pieces: readonly Piece[]): Map<string, number> {
  const done = pieces.map(({ doneMs }) => doneMs).sort((a, b) => a - b);
  const waited = new Map<string, number>();
  pieces.forEach(({ site, submittedMs }, index) => {
    const freeMs = index < THREADS ? submittedMs : (done[index - THREADS] as number);
    waited.set(site, (waited.get(site) ?? 0) + Math.max(0, freeMs - submittedMs));
  });
  return waited;
}

describe('where code waits for something that others hold', () => {
  interface Pool {
    url: string;
    tell: (command: string) => Promise<Piece[]>;
  }

  function withPool(use: (pool: Pool) => Promise<void>, config: object = {}): Promise<void> {
    const options = { args: [JSON.stringify(config)], env: { UV_THREADPOOL_SIZE: '4' } };
    return withService('pool.cjs', options, ({ url, child }) => {
      const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
      const answers = lines[Symbol.asyncIterator]();
      const tell = async (command: string): Promise<Piece[]> => {
        child.stdin?.write(`${command}\n`);
        const { value } = (await answers.next()) as { value: string };
        return JSON.parse(value) as Piece[];
      };
      return use({ url, tell });
    });
  }

  function ofResource(profile: ReadProfile, resource: string): ReadProfile {
    return { ...profile, samples: profile.samples.filter(({ labels }) => labels['resource'] === resource) };
  }

  it.concurrent(
    'shows the queue before the thread pool per call site, within 10 % of a reference queue',
    () =>
      withPool(async ({ url, tell }) => {
        const captured = fetchProfile(`${url}/mutex?seconds=7`);
        await sleep(BEGUN_MS);
        const pieces = await tell('queue 32');
        const profile = ofResource(await captured, 'thread-pool');
        const reference = referenceQueueMs(pieces);
        for (const site of ['shortWork', 'longWork']) {
          const measuredMs = cumulativeOf(profile, site, DELAY) / 1e6;
          const ratio = measuredMs / (reference.get(site) as number);
          expect([site, Math.abs(ratio - 1) < 0.1 || ratio]).toEqual([site, true]);
        }
        const waits =
          cumulativeOf(profile, 'shortWork', CONTENTIONS) + cumulativeOf(profile, 'longWork', CONTENTIONS);
        // The last ones may have been handed over when the first was done, but the loop had not looked yet.
        expect(waits).toBeGreaterThan(32 - 2 * THREADS);
        expect(waits).toBeLessThanOrEqual(32 - THREADS);
      }),
  );

  it.concurrent('shows nothing for a pool that has threads to spare', () =>
    withPool(async ({ url, tell }) => {
      const captured = fetchProfile(`${url}/mutex?seconds=3`);
      await sleep(BEGUN_MS);
      await tell('idle 50');
      expect((await captured).samples).toEqual([]);
    }),
  );

  it.concurrent('shows nothing for a thread to spare, whoever had the pool when the watch began', () =>
    withPool(async ({ url, tell }) => {
      await tell('others 1');
      const captured = fetchProfile(`${url}/mutex?seconds=4`);
      await sleep(BEGUN_MS);
      await tell('alone 1');
      await tell('spare 4');
      expect((await captured).samples).toEqual([]);
    }),
  );

  it.concurrent('shows nothing for work that was refused before it came to the pool', () =>
    withPool(async ({ url, tell }) => {
      const captured = fetchProfile(`${url}/mutex?seconds=3`);
      await sleep(BEGUN_MS);
      await tell('refused 2');
      await tell('spare 4');
      expect((await captured).samples).toEqual([]);
    }),
  );

  it.concurrent('does not take a busy loop for a busy pool', () =>
    withPool(async ({ url, tell }) => {
      const captured = fetchProfile(`${url}/mutex?seconds=3`);
      await sleep(BEGUN_MS);
      await tell('unseen 20');
      // All of it were 20 times 5 turns of 10 ms, for 6 of 10 pieces.
      expect(totalOf(await captured, DELAY) / 1e6).toBeLessThan(50);
    }),
  );

  it.concurrent('shows a lock where it is asked for, by what is waited for, all the time', () =>
    withPool(async ({ url, tell }) => {
      await tell('lock 5');
      const profile = ofResource(await fetchProfile(`${url}/mutex`), 'lock');
      // The first of five goes ahead, the others wait for 100, 200, 300 and 400 ms.
      expect(totalOf(profile, CONTENTIONS)).toBe(4);
      expect(cumulativeOf(profile, 'work', DELAY) / 1e9).toBeGreaterThan(0.99);
      expect(cumulativeOf(profile, 'work', DELAY) / 1e9).toBeLessThan(1.5);
    }),
  );

  it.concurrent('shows a share of the waits, scaled up', () =>
    withPool(
      async ({ url, tell }) => {
        await tell('lock 60');
        const profile = ofResource(await fetchProfile(`${url}/mutex`), 'lock');
        expect(totalOf(profile, CONTENTIONS) % 3).toBe(0);
        expect(totalOf(profile, CONTENTIONS) / 59).toBeGreaterThan(0.3);
        expect(totalOf(profile, CONTENTIONS) / 59).toBeLessThan(1.9);
      },
      { mutexProfileFraction: 3 },
    ),
  );

  it.concurrent('shows Atomics.wait while somebody captures', () =>
    withPool(async ({ url, tell }) => {
      await tell('atomics 50');
      const captured = fetchProfile(`${url}/mutex?seconds=2`);
      await sleep(BEGUN_MS);
      await tell('atomics 200');
      const profile = ofResource(await captured, 'Atomics.wait');
      await tell('atomics 50');
      expect(totalOf(profile, CONTENTIONS)).toBe(1);
      expect(cumulativeOf(profile, 'waitForNobody', DELAY) / 1e9).toBeCloseTo(0.2, 1);
      expect(totalOf(ofResource(await fetchProfile(`${url}/mutex`), 'Atomics.wait'), CONTENTIONS)).toBe(1);
    }),
  );
});
