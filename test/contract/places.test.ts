/** Where code is said to come from that is not what is on disk: compiled, or its own URL. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { ModuleKind, ScriptTarget, transpileModule } from 'typescript';
import { withService } from '../support/child.js';
import { fetchProfile } from '../support/fetch.js';
import { framesOf } from '../support/profile.js';
import { AS_WRITTEN, lineInTypedSource, placeOfTyped, TYPED_SOURCE } from '../support/typed-source.js';

const room = realpathSync(mkdtempSync(join(tmpdir(), 'loopprof-ts-')));
afterAll(() => rmSync(room, { recursive: true, force: true }));

it.concurrent.each([true, false])(
  'a module that was its own URL is shown by its kind (trimPaths: %p)',
  async (trimPaths) => {
    const SHOWING = [
      'profile?seconds=2',
      'goroutine?seconds=1',
      'block?seconds=1',
      'stalls',
      'block?debug=1',
    ];
    await withService('data-url.mjs', { args: [JSON.stringify({ trimPaths })] }, async ({ url }) => {
      const read = async (path: string): Promise<string> => {
        const response = await fetch(`${url}/${path}`);
        const bytes = Buffer.from(await response.arrayBuffer());
        expect([path, response.status]).toEqual([path, 200]);
        const text = bytes[0] === 0x1f ? gunzipSync(bytes).toString('latin1') : bytes.toString();
        expect([path, /the%20source|the source/.exec(text)]).toEqual([path, null]);
        return text;
      };
      // A busy machine may have nothing of it in a window this short; a later one has.
      const shows = async (path: string): Promise<boolean> => {
        for (let attempt = 0; attempt < 5; attempt++)
          if ((await read(path)).includes('data:text/javascript')) return true;
        return false;
      };
      // The rest when there is something in it.
      const windows = await Promise.all(SHOWING.slice(0, 3).map(shows));
      const others = await Promise.all(SHOWING.slice(3).map(shows));
      expect([...windows, ...others].map((shown, index) => [SHOWING[index], shown])).toEqual(
        SHOWING.map((path) => [path, true]),
      );
      await Promise.all(['heap', 'stack'].map(read));
    });
  },
);

it.concurrent.each(['--sourceMap', '--inlineSourceMap'])(
  'TypeScript compiled with %s is shown as written',
  async (option) => {
    const folder = mkdtempSync(join(room, 'project-'));
    const file = join(folder, 'work.ts');
    writeFileSync(file, TYPED_SOURCE);
    const compiler = spawnSync(
      process.execPath,
      [
        require.resolve('typescript/bin/tsc'),
        file,
        option,
        '--outDir',
        join(folder, 'out'),
        '--target',
        'es2022',
        '--module',
        'commonjs',
        '--ignoreConfig',
        // Not what is tested, and most of the compiler's time.
        '--noCheck',
        '--lib',
        'es5',
      ],
      { cwd: folder, encoding: 'utf8' },
    );
    expect([compiler.stdout, compiler.status]).toEqual(['', 0]);

    const options = { args: ['{}', join(folder, 'out', 'work.js')] };
    const profile = await withService('host.cjs', options, ({ url }) =>
      fetchProfile(`${url}/profile?seconds=1`),
    );
    const shown = framesOf(profile).filter((frame) => frame.file.startsWith(folder));
    expect(shown.map((frame) => frame.file).filter((each) => each !== file)).toEqual([]);
    expect(shown).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: 'burnTyped', line: lineInTypedSource('function burnTyped') }),
        expect.objectContaining({ name: 'turnTyped', line: lineInTypedSource('turnTyped(): Sum') }),
        expect.objectContaining({
          name: expect.stringContaining(`(anonymous work.ts:${lineInTypedSource('[1, 2].map')}:`) as string,
        }),
      ]),
    );
  },
);

it.concurrent.each([true, false])(
  'a map of some MiB is applied in the sidecar, elsewhere left out, which is said (sidecar: %s)',
  async (sidecar) => {
    const folder = mkdtempSync(join(room, 'large-'));
    const { outputText, sourceMapText = '' } = transpileModule(TYPED_SOURCE, {
      fileName: 'work.ts',
      compilerOptions: { module: ModuleKind.CommonJS, target: ScriptTarget.ES2022, sourceMap: true },
    });
    const map = { ...JSON.parse(sourceMapText), sourcesContent: ['x'.repeat(3 * 1024 * 1024)] } as object;
    writeFileSync(join(folder, 'work.js'), outputText);
    writeFileSync(join(folder, 'work.js.map'), JSON.stringify(map));
    const options = { args: [JSON.stringify({ sidecar }), join(folder, 'work.js')] };
    const shown = await withService('host.cjs', options, ({ url }) => placeOfTyped(url, folder));
    expect(shown).toEqual(
      sidecar
        ? AS_WRITTEN
        : {
            place: { file: '/work.js', line: expect.any(Number) as number },
            comments: [expect.stringMatching(/left out: of .*work\.js \(3 MiB\)/)],
          },
    );
  },
);
