/** How busy the event loop is, against the loop's own callbacks. */
import { runToEnd } from '../support/child.js';

interface Told {
  own: number;
  /** For this share others had the core: the loop was ready then, neither at work nor waiting. */
  held: number;
  found: number;
  nodes: number;
}

const CASES = [
  { what: 'an idle process that is sampled', share: 0, config: {} },
  { what: 'one at work for two fifths of the time', share: 0.4, config: {} },
  { what: 'the same, sampled through the inspector', share: 0.4, config: { engine: 'inspector' } },
  { what: 'the same, not sampled', share: 0.4, config: { enableCPU: false } },
];

it('eventLoopUtilization is the share of the time that callbacks take, sampled or not', async () => {
  const told = await Promise.all(
    CASES.map(async ({ what, share, config }) => {
      const { code, stdout, stderr } = await runToEnd('duty.cjs', {
        args: [String(share), JSON.stringify(config)],
      });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      return { what, ...(JSON.parse(stdout) as Told) };
    }),
  );
  expect(told.filter(({ own, held, found }) => found < own - 0.06 || found > own + held + 0.06)).toEqual([]);
  // Without signals Node's own figure is right as well, and ours is that.
  const [unsampled] = told.slice(-1);
  expect(unsampled?.nodes).toBeCloseTo(unsampled?.found ?? NaN, 1);
});
