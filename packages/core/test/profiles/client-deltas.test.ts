import type { PprofSample, ProfileData } from '../../src/pprof/profile-data.js';
import { ClientDeltas } from '../../src/profiles/client-deltas.js';

const breathe = () => Promise.resolve();
const sampleOf = (name: string, values: number[], labels?: Record<string, string>): PprofSample => ({
  stack: [{ name, file: '/app/a.js', line: 1, column: 1 }],
  values,
  ...(labels ? { labels } : {}),
});

function dataOf(samples: PprofSample[], types = ['alloc_space', 'inuse_space']): ProfileData {
  return {
    sampleTypes: types.map((type) => ({ type, unit: 'bytes' })),
    periodType: { type: 'space', unit: 'bytes' },
    period: 1,
    timeNanos: 1n,
    comments: [],
    samples,
  };
}

async function ask(deltas: ClientDeltas, client: string, samples: PprofSample[]): Promise<number[][]> {
  const { delta, commit } = await deltas.since(client, dataOf(samples), breathe);
  commit();
  return delta.samples.map(({ values }) => [...values]);
}

describe('what is new to a client', () => {
  it('is everything at first, then the growth of what accumulates, beside the rest as it is', async () => {
    const deltas = new ClientDeltas(['alloc_space']);
    expect(await ask(deltas, 'a', [sampleOf('f', [100, 40])])).toEqual([[100, 40]]);
    expect(await ask(deltas, 'a', [sampleOf('f', [130, 20])])).toEqual([[30, 20]]);
    expect(await ask(deltas, 'a', [sampleOf('f', [130, 20])])).toEqual([[0, 20]]);
  });

  it('leaves out what has neither grown nor is there', async () => {
    const deltas = new ClientDeltas(['alloc_space']);
    await ask(deltas, 'a', [sampleOf('f', [100, 40]), sampleOf('g', [10, 0])]);
    expect(await ask(deltas, 'a', [sampleOf('f', [100, 0]), sampleOf('g', [12, 0])])).toEqual([[2, 0]]);
  });

  it('is counted for each client by itself', async () => {
    const deltas = new ClientDeltas(['alloc_space']);
    await ask(deltas, 'a', [sampleOf('f', [100, 0])]);
    expect(await ask(deltas, 'b', [sampleOf('f', [110, 0])])).toEqual([[110, 0]]);
    expect(await ask(deltas, 'a', [sampleOf('f', [120, 0])])).toEqual([[20, 0]]);
    expect(await ask(deltas, 'b', [sampleOf('f', [120, 0])])).toEqual([[10, 0]]);
  });

  it('is told apart by stack and labels', async () => {
    const deltas = new ClientDeltas(['alloc_space']);
    const samples = (n: number) => [
      sampleOf('f', [n, 0]),
      sampleOf('f', [10 * n, 0], { route: '/a' }),
      sampleOf('f', [100 * n, 0], { route: '/b' }),
    ];
    await ask(deltas, 'a', samples(1));
    expect(await ask(deltas, 'a', samples(3))).toEqual([
      [2, 0],
      [20, 0],
      [200, 0],
    ]);
  });

  it('is asked for again by who did not get it', async () => {
    const deltas = new ClientDeltas(['alloc_space']);
    await deltas.since('a', dataOf([sampleOf('f', [100, 0])]), breathe);
    expect(await ask(deltas, 'a', [sampleOf('f', [100, 0])])).toEqual([[100, 0]]);
  });

  it('is everything again to the client that has not asked for longest, when there are too many', async () => {
    const deltas = new ClientDeltas(['alloc_space']);
    const samples = [sampleOf('f', [100, 0])];
    for (const client of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'a', 'i'])
      await ask(deltas, client, samples);
    expect(await ask(deltas, 'a', samples)).toEqual([]);
    expect(await ask(deltas, 'i', samples)).toEqual([]);
    expect(await ask(deltas, 'b', samples)).toEqual([[100, 0]]);
  });

  it('is everything where nothing accumulates, and nothing is remembered of that', async () => {
    const deltas = new ClientDeltas(['alloc_space']);
    const data = dataOf([sampleOf('f', [7])], ['inuse_space']);
    for (let n = 0; n < 2; n++) {
      const { delta, commit } = await deltas.since('a', data, breathe);
      commit();
      expect(delta).toBe(data);
    }
  });
});
