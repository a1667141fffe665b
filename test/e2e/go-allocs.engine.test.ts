/** What `go tool pprof` makes of heap, allocs and delta_heap, binary and as text, on every Node. */
import { readFileSync, writeFileSync } from 'node:fs';
import { NOTHING_INLINED, startService, type Service } from '../support/child.js';
import { GoPprof } from '../support/go-pprof.js';
import {
  COUNTS_TOTALS,
  cumulativeOf,
  HEAP_TYPES,
  readProfile,
  type ReadProfile,
} from '../support/profile.js';
import { describeWith } from '../support/tools.js';

describeWith('go', 'go tool pprof of allocations', () => {
  const go = new GoPprof();
  let service: Service;
  let base = '';
  let program = '';

  beforeAll(async () => {
    service = await startService('allocate.cjs', {
      args: [JSON.stringify({ memorySampleBytes: 65_536 })],
      nodeArgs: NOTHING_INLINED,
    });
    [base = '', program = ''] = service.line.split(' ').map((url) => url.replace(/\/$/, ''));
    await ask('/keep?mb=30');
    await ask('/litter?mb=50');
  });
  afterAll(async () => {
    await service.stop();
    go.close();
  });

  const ask = async (path: string): Promise<void> => void (await (await fetch(program + path)).text());

  /** What pprof makes of a profile. */
  async function asProto(...args: string[]): Promise<ReadProfile> {
    const file = go.newFile('profile.pb.gz');
    await go.clean('-proto', '-output', file, ...args);
    return readProfile(readFileSync(file));
  }

  /** The value of a function whose allocations are over, by type. */
  const valuesOf = (profile: ReadProfile, name: string): Record<string, number> =>
    Object.fromEntries(profile.sampleTypes.map((type, index) => [type, cumulativeOf(profile, name, index)]));

  describe.each(['heap', 'allocs'])('%s', (name) => {
    const shown = name === 'allocs' && COUNTS_TOTALS ? 'alloc_space' : 'inuse_space';

    it(`shows ${shown} first, without a warning`, async () => {
      const { stdout } = await go.clean('-top', `${base}/${name}`);
      expect(stdout).toMatch(/^File: allocate\.cjs$/m);
      expect(stdout).toMatch(new RegExp(`^Type: ${shown}$`, 'm'));
      expect(stdout).toMatch(COUNTS_TOTALS && name === 'allocs' ? / litter$/m : / keepRecords$/m);
    });

    it('has the same totals as text, read by URL without a warning', async () => {
      await (await fetch(`${base}/heap?gc=1`)).arrayBuffer();
      const binary = await asProto(`${base}/${name}`);
      const text = await asProto(`${base}/${name}?debug=1`);
      expect(binary.sampleTypes).toEqual(HEAP_TYPES);
      for (const each of ['keepRecords', 'litter']) {
        expect(valuesOf(text, each)).toMatchObject(valuesOf(binary, each));
      }
      expect(cumulativeOf(text, 'keepRecords', 3)).toBeGreaterThan(20 * 1024 * 1024);
    });

    it('cancels in -base what did not change', async () => {
      await (await fetch(`${base}/heap?gc=1`)).arrayBuffer();
      const files = [go.newFile('before.pb.gz'), go.newFile('after.pb.gz')] as const;
      for (const file of files) {
        writeFileSync(file, Buffer.from(await (await fetch(`${base}/${name}`)).arrayBuffer()));
      }
      const difference = await asProto('-base', ...files);
      for (const each of ['keepRecords', 'litter']) {
        expect(Object.values(valuesOf(difference, each)).filter((value) => value !== 0)).toEqual([]);
      }
    });
  });

  (COUNTS_TOTALS ? it : it.skip)('subtracts a delta of allocs as it does two fetches', async () => {
    const before = valuesOf(await asProto(`${base}/allocs`), 'litter')['alloc_space/bytes'] as number;
    const delta = asProto(`${base}/allocs?seconds=2`);
    await new Promise((resolve) => setTimeout(resolve, 800));
    await ask('/litter?mb=20');
    const after = valuesOf(await asProto(`${base}/allocs`), 'litter')['alloc_space/bytes'] as number;
    expect(valuesOf(await delta, 'litter')['alloc_space/bytes']).toBe(after - before);
    expect((await delta).durationMs).toBeGreaterThanOrEqual(1999);
  });

  it('reads delta_heap without a warning', async () => {
    const { stdout } = await go.clean('-top', `${base}/delta_heap`);
    expect(stdout).toMatch(/^Type: inuse_space$/m);
    expect(stdout).toMatch(/ keepRecords$/m);
  });
});
