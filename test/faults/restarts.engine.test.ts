import { runToEnd } from '../support/child.js';

it('what is left of a stopped profiler is collected without harm, again and again', async () => {
  const { code, signal, stdout, stderr } = await runToEnd('restarts.cjs');
  expect({ code, signal, stdout: stdout.trim(), stderr }).toEqual({
    code: 0,
    signal: null,
    stdout: '8',
    stderr: '',
  });
});
