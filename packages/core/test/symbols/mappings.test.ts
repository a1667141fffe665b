import { originalPositionFor, TraceMap, type EncodedSourceMap } from '@jridgewell/trace-mapping';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ModuleKind, ScriptTarget, transpileModule } from 'typescript';
import { originalPlaces, type Place } from '../../src/symbols/mappings.js';

const atOnce = (): Promise<void> => Promise.resolve();

const { sourceMapText = '' } = transpileModule(
  readFileSync(join(__dirname, '../../src/profiler.ts'), 'utf8'),
  {
    fileName: 'profiler.ts',
    compilerOptions: { module: ModuleKind.CommonJS, target: ScriptTarget.ES2023, sourceMap: true },
  },
);
const map = JSON.parse(sourceMapText) as EncodedSourceMap;

it('finds what trace-mapping finds, for every place of a compiled file', async () => {
  const places: Place[] = [];
  const lines = map.mappings.split(';').length;
  for (let line = 0; line <= lines; line++) {
    for (let column = 0; column < 90; column += 1 + (line % 3)) places.push({ line, column });
  }
  const traced = new TraceMap(map);
  const expected = places.map(({ line, column }) => {
    const { source, ...found } = originalPositionFor(traced, { line: line + 1, column });
    return source === null ? undefined : { source: 0, line: (found.line ?? 0) - 1, column: found.column };
  });
  expect(expected.some((each) => each === undefined)).toBe(true);
  expect(await originalPlaces(map.mappings, places, atOnce)).toEqual(expected);
});

it('takes a breath now and then in a large map', async () => {
  let breaths = 0;
  const large = Array<string>(40).fill(map.mappings).join(';');
  const last = { line: large.split(';').length - 1, column: 1e6 };
  await originalPlaces(large, [last], () => Promise.resolve(void (breaths += 1)));
  expect(breaths).toBeGreaterThanOrEqual(Math.floor(large.length / 65_536) - 1);
});

it('knows nothing of places that no segment covers', async () => {
  const places = [
    { line: -1, column: 0 },
    { line: 0, column: 1 },
    { line: 0, column: 4 },
    { line: 1, column: 9 },
    { line: 2, column: 0 },
  ];
  // Line 0: from column 2 on 0:0, from column 4 on nothing. Line 2: from column 0 on 1:3.
  const found = await originalPlaces('EAAA,E;;AACG', [...places, { line: 2, column: 7 }], atOnce);
  const of = { source: 0, line: 1, column: 3 };
  expect(found).toEqual([undefined, undefined, undefined, undefined, of, of]);
});

it.each(['E!', 'ž', 'EA', 'EAA'])('refuses what are no mappings: %s', async (text) => {
  await expect(originalPlaces(text, [{ line: 9, column: 0 }], atOnce)).rejects.toThrow('no mappings');
});
