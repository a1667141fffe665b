/** Many clients who ask at once: each has its own window. */
import { startService, type Service } from '../support/child.js';
import { framesOf, readProfile, totalOf, type ReadProfile } from '../support/profile.js';

const CPU = 1;

describe('twenty clients that ask for overlapping windows at once', () => {
  const TICK_MS = 100;
  interface Answer {
    seconds: number;
    sentMs: number;
    receivedMs: number;
    status: number;
    profile: ReadProfile;
  }
  let service: Service | undefined;
  let answers: Answer[] = [];
  afterAll(() => service?.stop());

  beforeAll(async () => {
    service = await startService('ticks.cjs');
    const { url } = service;
    answers = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const seconds = 1 + (index % 5);
        const sentMs = Date.now();
        const response = await fetch(`${url}/profile?seconds=${seconds}`);
        const body = new Uint8Array(await response.arrayBuffer());
        const receivedMs = Date.now();
        if (response.status !== 200) throw new Error(`${response.status} ${Buffer.from(body).toString()}`);
        return { seconds, sentMs, receivedMs, status: response.status, profile: readProfile(body) };
      }),
    );
  });

  it('all get an answer, each of the seconds that it asked for, within the time it waited', () => {
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(answers.map(({ profile }) => profile.durationMs)).toEqual(
      answers.map(({ seconds }) => seconds * 1000),
    );
    for (const { profile, sentMs, receivedMs } of answers) {
      expect(profile.timeMs).toBeGreaterThanOrEqual(sentMs - 1);
      expect(profile.timeMs + profile.durationMs).toBeLessThanOrEqual(receivedMs + 1);
    }
  });

  it('get the samples of their own window, and none from outside it', () => {
    for (const { profile } of answers) {
      const { timeMs, durationMs } = profile;
      const seen = [...new Set(framesOf(profile).map(({ name }) => name))].flatMap((name) =>
        name.startsWith('tick_') ? [Number(name.slice(5))] : [],
      );
      const first = Math.floor(timeMs / TICK_MS);
      const last = Math.floor((timeMs + durationMs) / TICK_MS);
      expect(Math.min(...seen)).toBeGreaterThanOrEqual(first - 1);
      expect(Math.max(...seen)).toBeLessThanOrEqual(last + 1);
      // A machine that is busy elsewhere may leave a tick out, not every other one.
      expect(seen.length / (last - first)).toBeGreaterThan(0.5);
    }
  });

  it('get no more CPU than there was time', () => {
    for (const { profile } of answers) {
      const otherThreads =
        profile.samples.find(({ stack }) => stack[0]?.name === '(other threads)')?.values[CPU] ?? 0;
      const share = (totalOf(profile, CPU) - otherThreads) / (profile.durationMs * 1e6);
      expect(share).toBeGreaterThan(0.1);
      expect(share).toBeLessThan(1.1);
    }
  });
});
