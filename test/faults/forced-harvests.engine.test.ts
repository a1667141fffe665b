/** Harvests forced into running code at random moments must not be seen by it. `npm run forced-harvests 1000000` takes longer. */
import { runToEnd } from '../support/child.js';

/** All of them on the oldest Node, fewer on the others. */
const COUNT = process.version.startsWith('v20.') ? 5000 : 1000;

it(`${COUNT} harvests forced into running code change none of its results`, async () => {
  const { code, stdout, stderr } = await runToEnd('forced-harvests.cjs', { args: [String(COUNT)] });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const told = JSON.parse(stdout) as { harvests: number; results: number; differing: string[] };
  expect(told.differing).toEqual([]);
  expect(told.results).toBeGreaterThan(0.01 * COUNT);
  // One that is still on its way when the program ends is not counted.
  expect(told.harvests).toBeGreaterThan(0.99 * COUNT);
});

it('nor does anything that the standalone server asks of a blocked event loop, over and over', async () => {
  const args = ['120', 'asked'];
  const { code, stdout, stderr } = await runToEnd('forced-harvests.cjs', { args });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const told = JSON.parse(stdout) as {
    answers: number;
    entries: number;
    results: number;
    differing: string[];
  };
  expect(told).toMatchObject({ answers: 120, differing: [] });
  expect(told.results).toBeGreaterThan(0);
  // Those who ask at once may be served by one visit, and the counters alone need none.
  expect(told.entries).toBeGreaterThan(20);
});
