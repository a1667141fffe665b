/** Harvests forced into running code at random moments must not be seen by it. `npm run forced-harvests 1000000` takes longer. */
import { runToEnd } from '../support/child.js';

it('5 000 harvests forced into running code change none of its results', async () => {
  const { code, stdout, stderr } = await runToEnd('forced-harvests.cjs', { args: ['5000'] });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const told = JSON.parse(stdout) as { harvests: number; results: number; differing: string[] };
  expect(told.differing).toEqual([]);
  expect(told.results).toBeGreaterThan(50);
  // One that is still on its way when the program ends is not counted.
  expect(told.harvests).toBeGreaterThan(4950);
});
