/** Parts of ours that fail while the app runs: a degraded route, and nothing that the app notices. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { startService } from '../support/child.js';

const CPU = ['profile?seconds=1', 'profile?from=now-1s'];
const HEAP = ['heap', 'heap?debug=1', 'heap?seconds=1'];

/** Which routes answer 503 with the reason, by what fails; all others go on. */
const FAILURES: Record<string, string[]> = {
  'the sampler does not start': CPU,
  'a harvest fails': CPU,
  'samples are not what they were': CPU,
  'the heap cannot be read': HEAP,
  'the logger fails': [],
};

describe.each(['sidecar', 'no sidecar'])('with %s', (sidecar) => {
  it.concurrent.each(Object.keys(FAILURES))('%s', async (failure) => {
    const service = await startService('failing.cjs', { args: [failure, sidecar] });
    try {
      const [mounted, standalone] = service.line.split(' ') as [string, string];
      // The harvests that succeed have to be over.
      if (failure === 'a harvest fails') await sleep(4000);
      for (const base of [`${mounted}/debug/pprof/`, standalone]) {
        const asked = [...CPU, ...HEAP, 'runtime', 'requests', 'gc', ''].map(async (path) => {
          const response = await fetch(base + path);
          const text = await response.text();
          const expected = FAILURES[failure]?.includes(path) ? 503 : 200;
          expect([base, path, response.status, expected === 503 ? text : '']).toEqual([
            base,
            path,
            expected,
            expected === 503 ? expect.stringMatching(/out of luck|null/) : '',
          ]);
        });
        await Promise.all(asked);
      }
      expect(await (await fetch(mounted)).text()).toBe('the app');
      const logged = (await (await fetch(`${mounted}/logged`)).json()) as string[];
      const errors = logged.filter((line) => line.startsWith('error'));
      expect(errors.length).toBe(FAILURES[failure] === CPU ? 1 : 0);

      const exit = once(service.child, 'exit');
      service.child.stdin?.write('end\n');
      expect([await exit, service.stderr()]).toEqual([[0, null], '']);
    } finally {
      await service.stop();
    }
  });
});
