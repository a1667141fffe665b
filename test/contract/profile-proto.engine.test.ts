/** The checklist in section 7 of the wire contract, on profiles of real programs. */
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { ModuleKind, ScriptTarget, transpileModule } from 'typescript';
import { PROGRAMS, startService, withService, type Service } from '../support/child.js';
import { fetchProfile } from '../support/fetch.js';
import { framesOf, HEAP_TYPES, readProfile, type ReadProfile } from '../support/profile.js';
import { AS_WRITTEN, placeOfTyped, TYPED_SOURCE } from '../support/typed-source.js';

const CPU = 1;
const MEDLEY = join(PROGRAMS, 'medley.cjs');

const services: Service[] = [];
const stopAll = () => Promise.all(services.splice(0).map((service) => service.stop()));
afterAll(stopAll);

async function start(...args: Parameters<typeof startService>): Promise<Service> {
  const service = await startService(...args);
  services.push(service);
  return service;
}

async function bytesOf(url: string): Promise<Uint8Array> {
  const response = await fetch(url);
  if (response.status !== 200) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** The fields of a message as they lie on the wire, which a decoder does not show: bytes, or a number. */
function fieldsOf(bytes: Uint8Array): { field: number; value: Uint8Array | bigint }[] {
  const fields: { field: number; value: Uint8Array | bigint }[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++] as number;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const key = Number(varint());
    const field = key >> 3;
    if ((key & 7) === 0) fields.push({ field, value: varint() });
    else if ((key & 7) === 2) {
      const length = Number(varint());
      fields.push({ field, value: bytes.subarray(at, (at += length)) });
    } else throw new Error(`wire type ${key & 7}`);
  }
  return fields;
}

const FIELD = {
  stringTable: 6,
  dropFrames: 7,
  keepFrames: 8,
  durationNanos: 10,
  defaultSampleType: 14,
  docUrl: 15,
};

const namesOf = (profile: ReadProfile) =>
  new Set(profile.samples.flatMap(({ stack }) => stack.map(({ name }) => name)));

describe('a profile on the wire', () => {
  const KINDS = {
    profile: {
      path: 'profile?seconds=2',
      types: ['samples/count', 'cpu/nanoseconds'],
      periodType: 'cpu/nanoseconds',
      period: 10_000_000,
      seconds: 2,
    },
    heap: {
      path: 'heap',
      types: HEAP_TYPES,
      periodType: 'space/bytes',
      period: 16_384,
      seconds: undefined,
    },
    'heap delta': {
      path: 'heap?seconds=2',
      types: HEAP_TYPES,
      periodType: 'space/bytes',
      period: 16_384,
      seconds: 2,
    },
  };
  type Kind = keyof typeof KINDS;
  const bytes = {} as Record<Kind, Uint8Array>;
  const profiles = {} as Record<Kind, ReadProfile>;
  const fetchedAt = { from: 0, to: 0 };
  let service: Service | undefined;
  afterAll(stopAll);

  beforeAll(async () => {
    service = await start('medley.cjs');
    const { url } = service;
    fetchedAt.from = Date.now();
    await Promise.all(
      (Object.keys(KINDS) as Kind[]).map(async (kind) => {
        bytes[kind] = await bytesOf(`${url}/${KINDS[kind].path}`);
        profiles[kind] = readProfile(bytes[kind]);
      }),
    );
    fetchedAt.to = Date.now();
  });

  describe.each(Object.keys(KINDS) as Kind[])('%s', (kind) => {
    const expected = KINDS[kind];
    const messageFields = () => fieldsOf(gunzipSync(bytes[kind]));
    const has = (field: number) => messageFields().some((each) => each.field === field);

    it("has Go's types in Go's order", () => {
      const { sampleTypes, periodType, period } = profiles[kind];
      expect({ sampleTypes, periodType, period }).toEqual({
        sampleTypes: expected.types,
        periodType: expected.periodType,
        period: expected.period,
      });
      expect([FIELD.defaultSampleType, FIELD.dropFrames, FIELD.keepFrames, FIELD.docUrl].filter(has)).toEqual(
        [],
      );
    });

    it('has samples, each with a value per type and a stack', () => {
      const { samples } = profiles[kind];
      expect(samples.length).toBeGreaterThan(3);
      expect(samples.length).toBeLessThan(16_000);
      expect(
        samples.filter(({ values, stack }) => values.length !== expected.types.length || stack.length === 0),
      ).toEqual([]);
      const lowest = Math.min(...samples.flatMap(({ values }) => values));
      expect(kind === 'heap delta' || lowest >= 0).toBe(true);
      expect(gunzipSync(bytes[kind]).length).toBeLessThan(4 * 1024 * 1024);
    });

    it(`says how long it is: ${expected.seconds ?? 'not at all'}`, () => {
      expect(has(FIELD.durationNanos)).toBe(expected.seconds !== undefined);
      const { durationMs, timeMs } = profiles[kind];
      // A delta lasts as long as its timer takes, a window of CPU exactly as long as it was asked for.
      const beyondMs = durationMs - (expected.seconds ?? 0) * 1000;
      expect(beyondMs).toBeGreaterThanOrEqual(kind === 'heap delta' ? -1 : 0);
      expect(beyondMs).toBeLessThanOrEqual(kind === 'heap delta' ? fetchedAt.to - fetchedAt.from - 2000 : 0);
      expect(timeMs).toBeGreaterThanOrEqual(fetchedAt.from - 1);
      expect(timeMs).toBeLessThanOrEqual(fetchedAt.to + 1);
    });

    it('begins its string table with the empty string, encoded', () => {
      const strings = messageFields().filter(({ field }) => field === FIELD.stringTable);
      expect(strings[0]?.value).toHaveLength(0);
      expect(strings.filter(({ value }) => (value as Uint8Array).length === 0)).toHaveLength(1);
    });

    it('holds well-formed UTF-8 only', () => {
      const decoder = new TextDecoder('utf-8', { fatal: true });
      const strings = messageFields().filter(({ field }) => field === FIELD.stringTable);
      expect(() => strings.map(({ value }) => decoder.decode(value as Uint8Array))).not.toThrow();
    });

    it('has one mapping, the program, which says that functions, files and lines are known', () => {
      const { mapping, stringTable } = profiles[kind].proto;
      expect(mapping).toHaveLength(1);
      expect(mapping[0]).toMatchObject({ hasFunctions: true, hasFilenames: true, hasLineNumbers: true });
      expect(stringTable.strings[Number(mapping[0]?.filename)]).toBe(MEDLEY);
    });

    it('numbers mapping, functions and locations 1..n in order', () => {
      const { mapping, location, function: functions } = profiles[kind].proto;
      for (const list of [mapping, location, functions]) {
        expect(list.map(({ id }) => Number(id))).toEqual(list.map((_, index) => index + 1));
      }
    });

    it('gives every location an address of its own inside the mapping, one line, and a function', () => {
      const { location, function: functions, mapping } = profiles[kind].proto;
      const [start, limit] = [Number(mapping[0]?.memoryStart), Number(mapping[0]?.memoryLimit)];
      const addresses = location.map(({ address }) => Number(address));
      expect(new Set(addresses).size).toBe(location.length);
      expect(addresses.filter((address) => !(address > 0 && address >= start && address < limit))).toEqual(
        [],
      );
      expect(limit).toBeLessThanOrEqual(Number.MAX_SAFE_INTEGER);
      expect(location.filter(({ mappingId, line }) => Number(mappingId) !== 1 || line.length !== 1)).toEqual(
        [],
      );
      const ids = location.map(({ line }) => Number(line[0]?.functionId));
      expect(ids.filter((id) => id < 1 || id > functions.length)).toEqual([]);
    });

    it('names every function, and leaves the system name empty', () => {
      const { function: functions, stringTable } = profiles[kind].proto;
      const odd = functions.filter(
        ({ name, systemName }) =>
          stringTable.strings[Number(name)] === '' || stringTable.strings[Number(systemName)] !== '',
      );
      expect(odd).toEqual([]);
    });

    it('tells anonymous functions apart by file and position', () => {
      const anonymous = framesOf(profiles[kind]).filter(
        ({ name, file }) => file === MEDLEY && name.startsWith('('),
      );
      for (const { name, line } of anonymous) {
        expect(name).toMatch(
          new RegExp(`^\\(anonymous medley\\.cjs:${line}:\\d+\\)$|^\\(module medley\\.cjs\\)$`),
        );
      }
      expect(new Set(anonymous.map(({ name }) => name)).size).toBe(anonymous.length);
    });

    it('shows files as paths', () => {
      const files = new Set(framesOf(profiles[kind]).map(({ file }) => file));
      expect(files).toContain(MEDLEY);
      expect([...files].filter((file) => file.startsWith('file:'))).toEqual([]);
    });
  });

  it('shows functions with their names, files and first lines', () => {
    const source = readFileSync(MEDLEY, 'utf8').split('\n');
    const expected = ['namedWork', '𝒳work', 'litter', 'burn'].map((name) => ({
      name,
      file: MEDLEY,
      line: source.findIndex((text) => text.startsWith(`function ${name}(`)) + 1,
    }));
    expect(framesOf(profiles.profile)).toEqual(
      expect.arrayContaining(expected.map((each): unknown => expect.objectContaining(each))),
    );
  });

  it('shows both anonymous functions of the program, each by its line', () => {
    const source = readFileSync(MEDLEY, 'utf8').split('\n');
    const lines = source.flatMap((text, index) => (text.startsWith('  run(() =>') ? [index + 1] : []));
    expect(lines).toHaveLength(2);
    const names = [...namesOf(profiles.profile)].filter((name) => name.startsWith('(anonymous medley.cjs:'));
    expect(names.map((name) => Number(name.split(':')[1])).sort((a, b) => a - b)).toEqual(lines);
  });

  it('shows garbage collection and the CPU of other threads as frames of their own', () => {
    const own = (name: string) => profiles.profile.samples.filter(({ stack }) => stack[0]?.name === name);
    for (const name of ['(garbage collector)', '(other threads)']) {
      expect(own(name).reduce((sum, { values }) => sum + (values[CPU] as number), 0)).toBeGreaterThan(0);
    }
    expect(own('(other threads)').map(({ stack }) => stack.length)).toEqual([1]);
    expect(namesOf(profiles.profile)).not.toContain('(idle)');
  });

  it('gives a function the same address in the next profile, in the heap profile and in another process', async () => {
    const addressesOf = (profile: ReadProfile) =>
      new Map(
        framesOf(profile)
          .filter(({ file }) => file === MEDLEY)
          .map(({ name, line, address }) => [`${name}:${line}`, address]),
      );
    const other = await start('medley.cjs');
    const [next, elsewhere] = await Promise.all(
      [service as Service, other].map(({ url }) => fetchProfile(`${url}/profile?seconds=2`)),
    );
    // Asked only now: a process that has just begun retains too little to have been sampled in every function.
    const heap = await fetchProfile(`${(service as Service).url}/heap`);
    const first = addressesOf(profiles.profile);
    for (const profile of [next, elsewhere, heap] as ReadProfile[]) {
      const second = addressesOf(profile);
      const shared = [...first.keys()].filter((key) => second.has(key));
      expect(shared.some((key) => key.startsWith('namedWork:'))).toBe(true);
      expect(shared.map((key) => [key, second.get(key)])).toEqual(shared.map((key) => [key, first.get(key)]));
    }
  });
});

describe('where code comes from', () => {
  const room = realpathSync(mkdtempSync(join(tmpdir(), 'loopprof-ts-')));
  afterAll(() => rmSync(room, { recursive: true, force: true }));

  it.concurrent('an ES module is shown by its path', async () => {
    const profile = await withService('module.mjs', {}, ({ url }) =>
      fetchProfile(`${url}/profile?seconds=1`),
    );
    const [frame] = framesOf(profile).filter(({ name }) => name === 'burnInModule');
    expect(frame).toMatchObject({ file: join(PROGRAMS, 'module.mjs'), line: 4 });
  });

  it.concurrent.each([true, false])(
    'TypeScript compiled in memory is shown as written (sidecar: %s)',
    async (sidecar) => {
      const folder = mkdtempSync(join(room, 'hooked-'));
      const hook = join(folder, 'hook.cjs');
      writeFileSync(join(folder, 'work.ts'), TYPED_SOURCE);
      // As such a hook compiles it; the compiler itself would be most of what the process does.
      const { outputText } = transpileModule(TYPED_SOURCE, {
        fileName: join(folder, 'work.ts'),
        compilerOptions: {
          module: ModuleKind.CommonJS,
          target: ScriptTarget.ES2022,
          inlineSourceMap: true,
          inlineSources: true,
        },
      });
      writeFileSync(
        hook,
        `process.setSourceMapsEnabled(true);
      require.extensions['.ts'] = (module, fileName) => module._compile(${JSON.stringify(outputText)}, fileName);`,
      );
      const options = {
        nodeArgs: ['--require', hook],
        args: [JSON.stringify({ sidecar }), join(folder, 'work.ts')],
      };
      const shown = await withService('host.cjs', options, async ({ url }) => {
        // While the event loop does not come to it, generated lines are shown, and the next time those as written.
        for (let attempt = 0; ; attempt++) {
          const place = await placeOfTyped(url, folder);
          if (attempt === 5 || place.place?.line === AS_WRITTEN.place.line) return place;
        }
      });
      expect(shown).toEqual(AS_WRITTEN);
    },
  );
});
