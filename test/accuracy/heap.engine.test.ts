import { fetchProfile } from '../support/fetch.js';
import { startService, type Service } from '../support/child.js';
import { cumulativeOf, totalOf, type ReadProfile } from '../support/profile.js';

const MB = 1024 * 1024;

/** Which types a profile has is a matter of Node and engine. */
const liveBytes = (profile: ReadProfile): number => profile.sampleTypes.indexOf('inuse_space/bytes');

const liveBytesOf = (profile: ReadProfile, name: string): number =>
  cumulativeOf(profile, name, liveBytes(profile));

describe('heap profile against known retention', () => {
  let service: Service | undefined;
  afterEach(() => service?.stop());

  it.each([
    { megabytes: 50, sampleBytes: '65536', engine: 'datadog' },
    { megabytes: 500, sampleBytes: '524288', engine: 'datadog' },
    { megabytes: 50, sampleBytes: '65536', engine: 'inspector' },
  ])(
    'shows $megabytes MB at one sample per $sampleBytes bytes within 15 %, by the engine $engine',
    async ({ megabytes, sampleBytes, engine }) => {
      service = await startService('retain.cjs', {
        args: [String(megabytes), sampleBytes],
        nodeArgs: ['--max-old-space-size=2048'],
        env: { ENGINE: engine },
      });
      const profile = await fetchProfile(`${service.url}/heap?gc=1`);
      const retained = liveBytesOf(profile, 'retainedRecords');
      expect(retained / (megabytes * MB)).toBeGreaterThan(0.85);
      expect(retained / (megabytes * MB)).toBeLessThan(1.15);
      // A harvest that interrupts it allocates in its name what is kept.
      const garbage = profile.samples.filter(({ stack }) => stack[0]?.name === 'garbage');
      expect(totalOf({ ...profile, samples: garbage }, liveBytes(profile))).toBeLessThan(MB);
    },
  );

  it('shows memory off the heap as a frame of its own', async () => {
    service = await startService('retain.cjs', { args: ['1', '524288', '64'] });
    const profile = await fetchProfile(`${service.url}/heap?gc=1`);
    const buffers = liveBytesOf(profile, '(array buffers)');
    expect(buffers / (64 * MB)).toBeGreaterThan(1);
    expect(buffers / (64 * MB)).toBeLessThan(1.1);
  });
});
