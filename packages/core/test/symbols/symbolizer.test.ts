import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RegisteredMap } from '../../src/symbols/registered-maps.js';
import { Symbolizer, type SymbolizerOptions } from '../../src/symbols/symbolizer.js';

let room = '';
beforeEach(() => (room = mkdtempSync(join(tmpdir(), 'loopprof-symbols-'))));
afterEach(() => rmSync(room, { recursive: true, force: true }));

const MAP = { version: 3, sources: ['written.ts'], names: [], mappings: ';AAIA' };
const frameIn = (url: string) => ({ functionName: 'work', url, line: 2, column: 1 });
const breathe = (): Promise<void> => Promise.resolve();

/** Says what of the map is to be padded with. */
function writeScript(name: string, paddingBytes: number): string {
  const script = join(room, name);
  writeFileSync(script, `let a;\nlet b;\n//# sourceMappingURL=${name}.map`);
  writeFileSync(`${script}.map`, JSON.stringify({ ...MAP, sourcesContent: ['x'.repeat(paddingBytes)] }));
  return script;
}

async function shown(symbolizer: Symbolizer, frames: ReturnType<typeof frameIn>[]) {
  const { stacks, notes } = await symbolizer.symbolize([frames], breathe);
  return { lines: stacks[0]?.map(({ file, line }) => `${file}:${line}`), notes };
}

it('leaves out a map that is too large, and says so with every stack that it is missing in', async () => {
  const small = frameIn(writeScript('small.js', 0));
  const large = ['a.js', 'b.js', 'c.js', 'd.js'].map((name) => frameIn(writeScript(name, 1024 * 1024)));
  const symbolizer = new Symbolizer({ maxMapBytes: 1024 * 1024, trimTo: () => room });
  expect(await shown(symbolizer, [small])).toEqual({ lines: ['written.ts:5'], notes: [] });
  const note = expect.stringMatching(
    /^source maps that are too large are left out: of a\.js \(1 MiB\), /,
  ) as string;
  expect(await shown(symbolizer, large)).toMatchObject({
    lines: ['a.js:2', 'b.js:2', 'c.js:2', 'd.js:2'],
    notes: [expect.stringMatching(/, c\.js \(1 MiB\) and 1 more$/)],
  });
  expect((await shown(symbolizer, [small, ...large])).notes).toEqual([note]);
  expect((await shown(symbolizer, [small])).notes).toEqual([]);
});

describe('maps that are registered on the thread', () => {
  const file = (): string => join(room, 'compiled-in-memory.ts');
  const asked: string[][] = [];
  const symbolizerWith = (answers: (readonly (RegisteredMap | undefined)[] | undefined)[]): Symbolizer => {
    asked.length = 0;
    const registered: SymbolizerOptions['registered'] = (files) => {
      asked.push([...files]);
      return Promise.resolve(answers.shift());
    };
    return new Symbolizer({ registered });
  };
  const map = { sources: ['compiled-in-memory.ts'], mappings: ';AAIA' };
  beforeEach(() => writeFileSync(file(), '// written\n'));

  it('are applied as soon as they can be asked for, and asked for once', async () => {
    const symbolizer = symbolizerWith([undefined, [], [{ sizeBytes: 10, map }]]);
    const frame = frameIn(file());
    const other = frameIn('node:fs');
    for (const line of [2, 2, 5, 5]) {
      const { lines } = await shown(symbolizer, [frame, other]);
      expect(lines).toEqual([`${file()}:${line}`, 'node:fs:2']);
    }
    expect(asked).toEqual([[file()], [file()], [file()]]);
  });

  it('are not asked for again where there is none', async () => {
    const symbolizer = symbolizerWith([[undefined]]);
    const frames = [frameIn(file())];
    expect((await shown(symbolizer, frames)).lines).toEqual([`${file()}:2`]);
    expect((await shown(symbolizer, [...frames, frameIn(file())])).lines).toEqual([
      `${file()}:2`,
      `${file()}:2`,
    ]);
    expect(asked).toHaveLength(1);
  });

  it('that are too large to be handed over are left out', async () => {
    const { lines, notes } = await shown(symbolizerWith([[{ sizeBytes: 9e6 }]]), [frameIn(file())]);
    expect(lines).toEqual([`${file()}:2`]);
    expect(notes).toEqual([expect.stringContaining('compiled-in-memory.ts (8.6 MiB)')]);
  });
});
