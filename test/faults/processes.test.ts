/** Signals and children: as without us. */
import { runToEnd, type Exit } from '../support/child.js';

const SCENARIOS: Record<string, Partial<Exit>> = {
  'SIGUSR2 that nobody handles': { code: null, signal: 'SIGUSR2', stdout: '' },
  'SIGUSR2 that is handled': { code: 4, stdout: 'handled\n' },
  SIGUSR1: { code: 0, stdout: '' },
  'SIGTERM that is handled': { code: 2, stdout: 'closing\n' },
  'an exception that is handled': { code: 9, stdout: 'caught the app failed\n' },
  'child_process.fork': { code: 0, stdout: 'child says hello\nchild ended with 3 null\n' },
  'cluster.fork': { code: 0, stdout: 'worker ended with 6 null\nworker ended with 6 null\nall ended\n' },
};

/** Without what differs between any two runs. */
function plain({ stderr, ...exit }: Exit): Exit {
  return { ...exit, stderr: stderr.replace(/ws:\/\/\S+/, 'ws://…').replace(/\(node:\d+\)/, '(node)') };
}

describe.each(['datadog', 'inspector'])('with a profiler on the engine %s', (engine) => {
  it.each(Object.keys(SCENARIOS))('%s ends as it does without', async (scenario) => {
    const run = (profiled: boolean) =>
      runToEnd('processes.cjs', {
        args: [JSON.stringify({ profiled, engine, scenario })],
        nodeArgs: scenario === 'SIGUSR1' ? ['--inspect-port=0'] : [],
      });
    const [without, withProfiler] = await Promise.all([run(false), run(true)]);
    expect(plain(without)).toMatchObject(SCENARIOS[scenario] as object);
    expect(plain(withProfiler)).toEqual(plain(without));
  });
});
