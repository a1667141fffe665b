import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findSourceMap, originalPositions, type Position } from '../../src/symbols/source-maps.js';

const MIB = 1024 * 1024;

let room = '';
let script = '';
beforeEach(() => {
  room = mkdtempSync(join(tmpdir(), 'loopprof-maps-'));
  script = join(room, 'script.js');
});
afterEach(() => rmSync(room, { recursive: true, force: true }));

/** The second line of the script is the fifth of `written.ts`. */
const MAP = { version: 3, sources: ['written.ts'], names: [], mappings: ';AAIA' };
const WRITTEN = (): Position => ({ file: join(room, 'written.ts'), line: 5, column: 1 });

const inline = (map: object): string =>
  `data:application/json;charset=utf-8;base64,${Buffer.from(JSON.stringify(map)).toString('base64')}`;

async function secondLine(): Promise<Position | undefined> {
  const found = await findSourceMap(script);
  if (!found) return undefined;
  const positions = [{ line: 2, column: 3 }];
  const breathe = (): Promise<void> => Promise.resolve();
  return (await originalPositions(await found.read(), { base: found.base, positions, breathe }))[0];
}

describe('the map of a script is found', () => {
  it.each(['', '\n', '\r\n\n  '])('in a file beside it (the script ends in %j)', async (end) => {
    writeFileSync(`${script}.map`, JSON.stringify(MAP));
    writeFileSync(script, `let a;\nlet b;\n//# sourceMappingURL=script.js.map${end}`);
    expect(await secondLine()).toEqual(WRITTEN());
  });

  it('in the script itself', async () => {
    writeFileSync(script, `let a;\nlet b;\n//# sourceMappingURL=${inline(MAP)}\n`);
    expect(await secondLine()).toEqual(WRITTEN());
  });

  it.each([-1, 0, 7, 20])(
    'in the script itself, megabytes before its end (%i bytes from a piece)',
    async (by) => {
      // It is looked for from the end, in pieces: of 4 KiB at first, of 1 MiB then.
      const text = (padding: number): string =>
        `let a;\nlet b;\n//# sourceMappingURL=${inline({ ...MAP, sourcesContent: ['x'.repeat(padding)] })}`;
      const sizeBytes = text(3 * MIB).length - 'let a;\nlet b;\n'.length;
      const wanted = 5 * MIB + 4096 + by;
      writeFileSync(script, text(3 * MIB + Math.floor(((wanted - sizeBytes) * 3) / 4)));
      expect((await findSourceMap(script))?.sizeBytes).toBeGreaterThan(3 * MIB);
      expect(await secondLine()).toEqual(WRITTEN());
    },
  );

  it('of a bundle of bundles, whose map has sections', async () => {
    const sections = [
      { offset: { line: 0, column: 0 }, map: { ...MAP, sources: ['other.ts'] } },
      { offset: { line: 1, column: 2 }, map: { ...MAP, mappings: 'AAIA' } },
    ];
    writeFileSync(`${script}.map`, JSON.stringify({ version: 3, sections }));
    writeFileSync(script, 'let a;\nlet b;\n//# sourceMappingURL=script.js.map');
    expect(await secondLine()).toEqual(WRITTEN());
  });
});

describe('there is no map', () => {
  it.each([
    ['an empty script', ''],
    ['a script without one', 'let a;\nlet b;\n'],
    ['one that is minified', `let a=[${'1,'.repeat(MIB)}2]`],
    ['one that speaks of maps', `let a;\nlet b = "//# sourceMappingURL=script.js.map";\n`],
    ['one that speaks of maps in a long line', `let a;\nlet b="//# sourceMappingURL=x"+${'1+'.repeat(MIB)}2`],
    ['a map that is followed by code', `//# sourceMappingURL=script.js.map\nlet b;\n`],
    ['a map that is missing', 'let a;\nlet b;\n//# sourceMappingURL=gone.js.map\n'],
    ['a URL of somewhere else', 'let a;\nlet b;\n//# sourceMappingURL=https://example.org/x.map\n'],
  ])('for %s', async (_what, text) => {
    writeFileSync(`${script}.map`, JSON.stringify(MAP));
    writeFileSync(script, text);
    expect(await findSourceMap(script)).toBeUndefined();
  });
});
