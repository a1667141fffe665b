/** What the app's own ticks cost, which Node alone lets grow to four times and more after some collections. */
import { runToEnd } from '../support/child.js';

it('keeps process.nextTick() as fast as it was, through full collections that meet no tick waiting', async () => {
  const plan = { config: {}, collections: 5, waitMs: 1200 };
  const nodeArgs = ['--no-warnings', '--expose-gc'];
  const { code, stdout, stderr } = await runToEnd('tick-cost.cjs', {
    args: [JSON.stringify(plan)],
    nodeArgs,
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const { before, after } = JSON.parse(stdout) as { before: number; after: number };
  expect(before).toBeGreaterThan(0);
  expect(after / before).toBeLessThan(2.5);
});
