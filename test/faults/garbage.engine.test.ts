/** What requests leave to the garbage collector, which is dear where it comes to be among the old objects. */
import { runToEnd } from '../support/child.js';

const major = Number(process.versions.node.split('.')[0]);

/** Express replaces prototypes, for which V8 before Node 24 makes hidden classes, old ones, with each property that is given afterwards. */
const frameworks = major >= 24 ? ['koa', 'express'] : ['koa'];

const REQUESTS = 24_000;

/** Without samplers: what they keep grows with time, not with requests. */
const config = { enableCPU: false, enableMemory: false, labels: false };

interface Garbage {
  answers: number;
  series?: unknown[];
  collections: number;
  agedBytesPerRequest: number;
}

async function garbageOf(framework: string, given: object | null): Promise<Garbage> {
  const plan = { framework, config: given, requests: REQUESTS };
  const { code, stdout, stderr } = await runToEnd('garbage.cjs', {
    args: [JSON.stringify(plan)],
    nodeArgs: ['--no-warnings', '--min-semi-space-size=4', '--max-semi-space-size=4'],
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout) as Garbage;
}

it.each(frameworks)('%s: what is noted of a request does not outlive it', async (framework) => {
  const bare = await garbageOf(framework, null);
  const timed = await garbageOf(framework, config);
  expect([bare.answers, timed.answers]).toEqual([REQUESTS, REQUESTS]);
  const counted = { route: '/users/:id', statusClass: '2xx', count: REQUESTS, aborted: 0 };
  expect(timed.series).toEqual([expect.objectContaining(counted)]);
  expect(bare.collections).toBeGreaterThan(20);
  expect(timed.collections).toBeGreaterThan(20);
  expect(timed.agedBytesPerRequest - bare.agedBytesPerRequest).toBeLessThan(400);
});
