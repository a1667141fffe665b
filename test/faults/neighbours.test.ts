/** Loopprof beside other profilers, whoever comes first: everybody works on. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { runToEnd, startService } from '../support/child.js';

interface Told {
  ours: Record<string, unknown>;
  theirs: { cpu: boolean; memory: boolean };
  logged: string[];
}

const WELL = { across: 200, cpu: [200, true], heap: [200, true], after: [200, true] };

async function trial(plan: object, nodeArgs: string[] = []): Promise<Told> {
  const { code, signal, stdout, stderr } = await runToEnd('neighbours.cjs', {
    args: [JSON.stringify(plan)],
    nodeArgs,
  });
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  return JSON.parse(stdout) as Told;
}

describe('another user of @datadog/pprof', () => {
  it.concurrent(
    'that was there before us is left alone: we sample by the inspector, and say why',
    async () => {
      const { ours, theirs, logged } = await trial({ neighbour: '@datadog/pprof', order: 'before us' });
      expect({ ours, theirs }).toEqual({ ours: WELL, theirs: { cpu: true, memory: true } });
      expect(logged).toEqual([
        expect.stringMatching(
          /^warn: .*samples by the inspector of Node .*somebody else has loaded @datadog\/pprof$/,
        ),
      ]);
    },
  );

  it.concurrent.each(['auto', 'datadog'])(
    "that comes after us is given its place, captures that run included (engine: '%s')",
    async (engine) => {
      const { ours, theirs, logged } = await trial({
        neighbour: '@datadog/pprof',
        order: 'after us',
        engine,
      });
      expect({ ours, theirs }).toEqual({ ours: WELL, theirs: { cpu: true, memory: true } });
      expect(logged).toEqual([
        expect.stringMatching(/^warn: .*samples by the inspector of Node .*another user of @datadog\/pprof/),
      ]);
    },
  );

  it.concurrent('in a copy of its own that comes after us is given its place', async () => {
    const room = mkdtempSync(join(tmpdir(), 'loopprof-copy-'));
    try {
      const copy = join(room, 'node_modules/@datadog/pprof');
      const source = dirname(require.resolve('@datadog/pprof/package.json'));
      cpSync(source, copy, { recursive: true });
      for (const name of ['node-gyp-build', 'pprof-format'])
        symlinkSync(join(source, '../..', name), join(room, 'node_modules', name));
      const { ours, theirs } = await trial({ neighbour: 'another @datadog/pprof', order: 'after us', copy });
      expect({ ours, theirs }).toEqual({ ours: WELL, theirs: { cpu: true, memory: true } });
    } finally {
      rmSync(room, { recursive: true, force: true });
    }
  });

  it.concurrent(
    'that was loaded before us, starts after us and stays longer keeps the heap sampler that it shares',
    async () => {
      const { ours, theirs } = await trial({ neighbour: '@datadog/pprof', order: 'around us' });
      expect({ ours, theirs }).toEqual({ ours: WELL, theirs: { cpu: true, memory: true } });
    },
  );

  it.concurrent.each([
    ['NODE_OPTIONS', { NODE_OPTIONS: '--stack-trace-limit=10 --title=dd-trace' }],
    ['DD_PROFILING_ENABLED', { DD_PROFILING_ENABLED: 'true' }],
  ])('that %s announces has us sample by the inspector from the start', async (where, env) => {
    const service = await startService('host.cjs', { env });
    try {
      const index = await (await fetch(`${service.url}/`)).text();
      expect(index).toMatch(new RegExp(`engine inspector of Node .*because .*${where}`));
    } finally {
      await service.stop();
    }
  });
});

describe.each(['datadog', 'inspector'])('beside the engine %s', (engine) => {
  it.concurrent.each(
    ['an inspector session', 'console.profile'].flatMap((neighbour) =>
      ['before us', 'after us'].map((order) => ({ neighbour, order })),
    ),
  )('$neighbour that comes $order works on, and so do we', async ({ neighbour, order }) => {
    const { ours, theirs, logged } = await trial({ neighbour, order, engine });
    expect({ ours, theirs, logged }).toEqual({ ours: WELL, theirs: { cpu: true, memory: true }, logged: [] });
  });

  it.concurrent('--cpu-prof and --heap-prof write what they write without us', async () => {
    // Beside --cpu-prof the inspector would have Node print all that we sample, so there is no CPU profile then.
    const cpu = engine === 'datadog' ? WELL.cpu : [503, false];
    const expected = { ...WELL, across: cpu[0], cpu, after: cpu };
    const room = mkdtempSync(join(tmpdir(), 'loopprof-cpu-prof-'));
    try {
      const flags = ['--cpu-prof', `--cpu-prof-dir=${room}`, '--heap-prof', `--heap-prof-dir=${room}`];
      const { ours, logged } = await trial({ neighbour: 'nothing', order: 'before us', engine }, flags);
      expect(ours).toEqual(expected);
      expect(logged).toEqual(
        engine === 'datadog' ? [] : [expect.stringMatching(/^error: .*does not sample beside --cpu-prof/)],
      );
      const [cpuFile = '', heap = ''] = readdirSync(room).sort();
      expect([cpuFile, heap]).toEqual([
        expect.stringMatching(/^CPU\..*\.cpuprofile$/),
        expect.stringMatching(/^Heap\..*\.heapprofile$/),
      ]);
      const { nodes } = JSON.parse(readFileSync(join(room, cpuFile), 'utf8')) as {
        nodes: { callFrame: { functionName: string } }[];
      };
      expect(nodes.some(({ callFrame }) => callFrame.functionName === 'theWork')).toBe(true);
      expect(JSON.parse(readFileSync(join(room, heap), 'utf8'))).toHaveProperty('head.children');
    } finally {
      rmSync(room, { recursive: true, force: true });
    }
  });
});
