import { runToEnd } from '../support/child.js';

it('what is left of a stopped profiler is collected without harm, again and again', async () => {
  const { code, signal, stdout, stderr } = await runToEnd('restarts.cjs');
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  const [rounds, kept] = stdout.split(' ').map(Number);
  expect(rounds).toBe(8);
  // The last ones are still waited for.
  expect(kept).toBeLessThan(4);
});
