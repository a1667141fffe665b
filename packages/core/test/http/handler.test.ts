import { defaultProfilerConfig } from '../../src/config.js';
import { CaptureBudget } from '../../src/http/capture-budget.js';
import { createHandler } from '../../src/http/handler.js';
import { silentLogger } from '../../src/logger.js';
import { goroutineLeakProfile } from '../../src/profiles/goroutine-leak.js';
import type { Profile } from '../../src/profiles/profile.js';
import { ProfileRegistry } from '../../src/profiles/registry.js';
import type { ProfileSources } from '../../src/profiles/sources.js';

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

/** The profile of leaks, but for its work; beside it one that never collects garbage by itself. */
const profiles: Profile[] = [
  { ...goroutineLeakProfile({} as ProfileSources), capture: () => Promise.resolve({ body: '', notes: [] }) },
];
profiles.push({ ...(profiles[0] as Profile), name: 'plain', collectsAtEnd: false });

/** How many of them are answered before the budget is used up, while no time passes. */
async function answeredOf(method: string, path: string): Promise<number> {
  const budget = new CaptureBudget();
  const handler = createHandler({
    registry: new ProfileRegistry(profiles, [{ name: 'counters', description: '', read: () => ({}) }], []),
    config: defaultProfilerConfig,
    checkAccess: () => {},
    logger: silentLogger,
    budget: () => budget,
    status: () => ({ facts: [], problems: [] }),
    takeSnapshot: () => Promise.resolve({}),
  });
  for (let answered = 0; answered < 5000; answered++) {
    const request = { method, url: path, path: path.split('?')[0] ?? '', headers: {}, httpVersion: '1.1' };
    const { status } = await handler({ ...request, remoteAddress: '127.0.0.1' });
    if (status === 429) return answered;
    expect([200, 201]).toContain(status);
  }
  throw new Error('there is no end to it');
}

it.each([
  ['a capture', 'GET', '/plain', 600],
  ['a delta', 'GET', '/plain?seconds=1', 600],
  ['one that collects garbage first', 'GET', '/plain?gc=1', 60],
  ['leaks as they are known', 'GET', '/goroutineleak', 600],
  ['leaks of some seconds, at whose end garbage is collected', 'GET', '/goroutineleak?seconds=1', 60],
  ['counters', 'GET', '/counters', 2400],
  ['a snapshot', 'POST', '/snapshot', 60],
])('lets %s cost what it costs the process: %s %s, %d at a time', async (_what, method, path, count) => {
  expect(await answeredOf(method, path)).toBe(count);
});
