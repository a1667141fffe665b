/** Where Node is told to forbid things: it works, or says what it lacks. */
import { join } from 'node:path';
import { PROGRAMS, runToEnd } from '../support/child.js';

interface Told {
  answers: Record<string, { status: number; sizeBytes: number; text: string }>;
  logged: string[];
}

const MAJOR = Number(process.versions.node.split('.')[0]);
const can = (flag: string): boolean => process.allowedNodeEnvironmentFlags.has(flag);

async function contract(framework: string, nodeArgs: string[]): Promise<Told> {
  const { code, stdout, stderr } = await runToEnd('contract.cjs', { args: [framework], nodeArgs });
  if (code !== 0) throw new Error(`ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as Told;
}

/** What was not answered as it should. */
const refused = ({ answers }: Told): [path: string, status: number, text: string][] =>
  Object.entries(answers).flatMap(([path, { status, text }]) =>
    status === (path === 'snapshot' ? 201 : 200) ? [] : [[path, status, text]],
  );

// Fastify's router and Koa's assertions make functions of text themselves, and Express does not load with frozen intrinsics.
it.each([
  ['core', '--disallow-code-generation-from-strings'],
  ['express', '--disallow-code-generation-from-strings'],
  ['core', '--frozen-intrinsics'],
  ['fastify', '--frozen-intrinsics'],
])('%s serves all that it has under %s', async (framework, flag) => {
  const told = await contract(framework, [flag]);
  expect(refused(told)).toEqual([]);
  expect(told.logged).toEqual([]);
});

(MAJOR >= 24 ? describe : describe.skip)('under the permission model', () => {
  const base = ['--permission', '--allow-fs-read=*', ...(can('--allow-net') ? ['--allow-net'] : [])];

  it('with what it needs it serves all that it has', async () => {
    const inspector = can('--allow-inspector') ? ['--allow-inspector'] : [];
    const needed = ['--allow-addons', '--allow-worker', '--allow-fs-write=*', ...inspector];
    const told = await contract('core', [...base, ...needed]);
    expect(refused(told)).toEqual([]);
    expect(told.logged).toEqual([]);
  });

  it('without --allow-worker it says that there is no sidecar, without --allow-fs-write that nothing is written', async () => {
    const told = await contract('core', [...base, '--allow-addons']);
    expect(refused(told)).toEqual([
      ['snapshot', 503, expect.stringMatching(/`profileDir` .*--allow-fs-write/)],
    ]);
    expect(told.logged).toEqual([
      expect.stringMatching(/^warn: .*no sidecar: .*--allow-worker/),
      expect.stringMatching(/^error: .*`profileDir` .*--allow-fs-write/),
    ]);
  });

  it('without --allow-addons it takes the inspector, or says which permission is missing', async () => {
    const { answers, logged } = await contract('core', [...base, '--allow-worker']);
    expect(logged[0]).toMatch(
      /^warn: .*samples by the inspector.*The engine "datadog" did not load: .*addons? /,
    );
    expect(answers['']?.status).toBe(200);
    expect(answers['runtime']?.status).toBe(200);
    const profile = answers['profile?seconds=1'];
    if (profile?.status !== 200) {
      expect([profile?.status, profile?.text]).toEqual([503, expect.stringMatching(/--allow-inspector/)]);
    }
  });
});

it('node:test runs with a profiler in it, also one that nobody stops', async () => {
  const { code, stdout, stderr } = await runToEnd(join(PROGRAMS, 'in-node-test.mjs'), {
    nodeArgs: ['--test'],
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/pass 2/);
});
