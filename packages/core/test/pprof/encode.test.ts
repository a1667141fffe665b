import { gunzipSync } from 'node:zlib';
import { Profile } from 'pprof-format';
import { ADDRESS_LIMIT, ADDRESS_START, addressOf } from '../../src/pprof/addresses.js';
import { encodeProfile } from '../../src/pprof/encode.js';
import type { PprofFrame, PprofSample, ProfileData } from '../../src/pprof/profile-data.js';

const frame = (name: string, { file = '/app/a.js', line = 7, column = 3 } = {}): PprofFrame => ({
  name,
  file,
  line,
  column,
});

function profile(samples: PprofSample[], more: Partial<ProfileData> = {}): ProfileData {
  return {
    sampleTypes: [
      { type: 'samples', unit: 'count' },
      { type: 'cpu', unit: 'nanoseconds' },
    ],
    periodType: { type: 'cpu', unit: 'nanoseconds' },
    period: 10_000_000,
    timeNanos: 1_800_000_000_123_456_789n,
    comments: [],
    samples,
    ...more,
  };
}

const breathe = () => Promise.resolve();

async function encoded(data: ProfileData): Promise<{ proto: Profile; strings: string[] }> {
  const proto = Profile.decode(
    gunzipSync(await encodeProfile(data, { mappingFile: '/app/server.js', breathe })),
  );
  return { proto, strings: proto.stringTable.strings };
}

describe('encoding', () => {
  it('numbers functions and locations 1..n in the order in which they come', async () => {
    const [a, b, c] = [frame('a'), frame('b'), frame('c')];
    const { proto } = await encoded(
      profile([
        { stack: [b, a], values: [1, 1] },
        { stack: [c, b, a], values: [1, 1] },
      ]),
    );
    expect(proto.mapping.map(({ id }) => Number(id))).toEqual([1]);
    expect(proto.function.map(({ id }) => Number(id))).toEqual([1, 2, 3]);
    expect(proto.location.map(({ id }) => Number(id))).toEqual([1, 2, 3]);
    expect(proto.sample.map(({ locationId }) => locationId.map(Number))).toEqual([
      [1, 2],
      [3, 1, 2],
    ]);
  });

  it('makes one location of frames that show the same, and two of what differs in any part', async () => {
    const frames = [
      frame('f'),
      frame('f'),
      frame('g'),
      frame('f', { file: '/app/b.js' }),
      frame('f', { line: 8 }),
      frame('f', { column: 4 }),
    ];
    const { proto } = await encoded(profile([{ stack: frames, values: [1, 1] }]));
    expect(proto.sample[0]?.locationId.map(Number)).toEqual([1, 1, 2, 3, 4, 5]);
    expect(new Set(proto.location.map(({ address }) => address)).size).toBe(5);
  });

  it('keeps negative values, as a difference has them', async () => {
    const { proto } = await encoded(profile([{ stack: [frame('f')], values: [-1, -524_288] }]));
    expect(proto.sample[0]?.value.map((value) => BigInt.asIntN(64, BigInt(value)))).toEqual([-1n, -524_288n]);
  });

  it('keeps times to the nanosecond', async () => {
    const { proto } = await encoded(profile([], { durationNanos: 30_000_000_001n }));
    expect([BigInt(proto.timeNanos), BigInt(proto.durationNanos)]).toEqual([
      1_800_000_000_123_456_789n,
      30_000_000_001n,
    ]);
  });

  it('writes labels as strings', async () => {
    const { proto, strings } = await encoded(
      profile([{ stack: [frame('f')], values: [1, 1], labels: { route: '/users/:id', tenant: 'a' } }]),
    );
    expect(
      proto.sample[0]?.label.map(({ key, str }) => [strings[Number(key)], strings[Number(str)]]),
    ).toEqual([
      ['route', '/users/:id'],
      ['tenant', 'a'],
    ]);
  });

  it('writes no system name, which pprof would take for C++', async () => {
    const { proto } = await encoded(profile([{ stack: [frame('Map<K, V>.get [x]')], values: [1, 1] }]));
    expect(proto.function.map(({ systemName }) => Number(systemName))).toEqual([0]);
  });

  it('replaces lone surrogates, wherever they stand, since no UTF-8 decoder takes them', async () => {
    const lone = 'cut\ud83d';
    const { strings } = await encoded(
      profile(
        [{ stack: [frame(lone, { file: `/app/${lone}.js` })], values: [1, 1], labels: { [lone]: lone } }],
        {
          comments: [lone],
        },
      ),
    );
    expect(strings.every((text) => text.isWellFormed())).toBe(true);
    expect(strings).toEqual(expect.arrayContaining(['cut\ufffd', '/app/cut\ufffd.js']));
    expect(strings).toContain('cut\ufffd');
  });

  it('keeps whole characters outside the basic plane', async () => {
    const { strings } = await encoded(profile([{ stack: [frame('𝒳🚀')], values: [1, 1] }]));
    expect(strings).toContain('𝒳🚀');
  });

  it('breathes many times on the way through a large profile', async () => {
    const samples = Array.from({ length: 1200 }, (_, index) => ({
      stack: [frame(`f${index}`), frame('main')],
      values: [1, 1],
    }));
    const counted = jest.fn(breathe);
    await encodeProfile(profile(samples), { mappingFile: '/app/server.js', breathe: counted });
    expect(counted.mock.calls.length).toBeGreaterThanOrEqual(6);
  });
});

describe('an address', () => {
  it('is the same for the same function, always', () => {
    expect(addressOf('/app/a.js\nf\n7:3', new Set())).toBe(addressOf('/app/a.js\nf\n7:3', new Set()));
  });

  it('is inside the mapping, exact as a number, and one of its own for each of 5 000 functions', () => {
    const taken = new Set<number>();
    let moved = 0;
    for (let index = 0; index < 5000; index++) {
      const key = `/app/src/module-${index % 97}.js\nfunction${index}\n${index}:1`;
      const address = addressOf(key, taken);
      if (address !== addressOf(key, new Set())) moved += 1;
    }
    expect(taken.size).toBe(5000);
    expect(Math.min(...taken)).toBeGreaterThanOrEqual(ADDRESS_START);
    expect(Math.max(...taken)).toBeLessThan(ADDRESS_LIMIT);
    expect([...taken].every(Number.isSafeInteger)).toBe(true);
    // A collision shifts an address by what else is in the profile, so that it is not stable any more.
    expect(moved).toBe(0);
  });

  it('of a second function with the same hash is the next one', () => {
    const first = addressOf('key', new Set());
    expect(addressOf('key', new Set([first]))).toBe(first + 1);
  });
});
