/** What replaces a process: as without us. There is no `exit`, and a sampling signal on its way would end the program that comes next. */
import { runToEnd } from '../support/child.js';
import { readProfile } from '../support/profile.js';

const ENGINES = ['datadog', 'inspector'];

/** Such a signal is on its way in one of some ten replacements at this interval. */
const config = { cpuSampleIntervalMicros: 1000 };

const FAILS_SOFTLY = Number(process.versions.node.split('.')[0]) >= 26;

('execve' in process ? describe : describe.skip)('process.execve', () => {
  it.concurrent.each(ENGINES)(
    'comes through twenty times with a profiler on the engine %s',
    async (engine) => {
      const args = [JSON.stringify({ config: { ...config, engine }, left: 10 })];
      const exit = await runToEnd('execve.cjs', { args, nodeArgs: ['--no-warnings'] });
      expect(exit).toEqual({ code: 5, signal: null, stdout: 'the last\n', stderr: '' });
    },
  );

  it.concurrent('is left as it is, also with frozen intrinsics', async () => {
    const run = (plan: object) =>
      runToEnd('execve.cjs', {
        args: [JSON.stringify({ ...plan, left: 1 })],
        nodeArgs: ['--no-warnings', '--frozen-intrinsics'],
      });
    expect(await run({ config })).toEqual(await run({}));
  });

  // Before Node 26 it aborts the process.
  (FAILS_SOFTLY ? it.concurrent : it.concurrent.skip).each(ENGINES)(
    'that fails leaves a profiler on the engine %s as it was',
    async (engine) => {
      const args = [JSON.stringify({ config: { engine }, fails: true })];
      const { code, stdout, stderr } = await runToEnd('execve.cjs', { args, nodeArgs: ['--no-warnings'] });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      const { profile, ...rest } = JSON.parse(stdout) as { profile: string };
      expect(rest).toEqual({ error: 'ENOENT', status: 200, logged: [], watched: false });
      const { samples } = readProfile(Buffer.from(profile, 'base64'));
      expect(samples.some(({ stack }) => stack.some(({ name }) => name === 'theWork'))).toBe(true);
    },
  );
});
