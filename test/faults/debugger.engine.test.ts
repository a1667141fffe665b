/** With a debugger attached, and with nothing but the inspector to look into a blocked loop. */
import { fetchProfile } from '../support/fetch.js';
import { runToEnd, startService } from '../support/child.js';
import { cumulativeOf } from '../support/profile.js';

const CPU = 1;
const hasWebSocket = Number(process.versions.node.split('.')[0]) >= 22;

describe.each(['datadog', 'inspector'])('with the engine %s', (engine) => {
  it('a debugger profiles, pauses and resumes, and we go on', async () => {
    const service = await startService('burn.cjs', {
      args: ['0.2'],
      nodeArgs: ['--inspect=127.0.0.1:0'],
      env: { ENGINE: engine },
    });
    try {
      const url = /ws:\/\/\S+/.exec(service.stderr())?.[0] as string;
      const across = fetchProfile(`${service.url}/profile?seconds=2`);
      const { code, stdout, stderr } = await runToEnd('debugger.mjs', {
        args: [url],
        nodeArgs: hasWebSocket ? [] : ['--experimental-websocket'],
      });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(JSON.parse(stdout)).toEqual({ profiled: true, paused: true, evaluated: 42 });
      expect(cumulativeOf(await across, 'sixtyPercent', CPU)).toBeGreaterThan(0);
      const after = await fetchProfile(`${service.url}/profile?seconds=1`);
      expect(cumulativeOf(after, 'sixtyPercent', CPU)).toBeGreaterThan(0);
      expect(service.child.exitCode).toBeNull();
    } finally {
      await service.stop();
    }
  });
});

it('the inspector engine answers while the event loop is blocked', async () => {
  const service = await startService('spinning.cjs', { env: { ENGINE: 'inspector' } });
  try {
    let spun = false;
    service.child.stdout?.on('data', (chunk) => (spun ||= String(chunk).includes('spun')));
    service.child.stdin?.write('spin\n');
    // The window lies in the spin; whoever gets it before the end has been answered from inside.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const profile = await fetchProfile(`${service.url}/profile?from=now-1s`);
    expect(cumulativeOf(profile, 'spin', CPU) / 1e6).toBeGreaterThan(500);
    expect(spun).toBe(false);
  } finally {
    await service.stop();
  }
});
