import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const repository = path.resolve(__dirname, '../..');

interface Checked {
  name: string;
  problems: string[];
}

/** The check that `npm run manifests` makes, in a process of its own because Jest cannot import an ES module. */
function check(root: string): Checked[] {
  const script = path.join(repository, 'scripts/check-manifests.mjs');
  const child = spawnSync(process.execPath, [script, '--json', root], { encoding: 'utf8' });
  if (child.stdout === '') throw new Error(child.stderr);
  return JSON.parse(child.stdout) as Checked[];
}

const engines = { node: '>=20.19' };
const good = {
  name: '@invented/good',
  version: '1.0.0',
  description: 'A package with nothing wrong.',
  license: 'MIT',
  type: 'commonjs',
  main: './dist/index.js',
  types: './dist/index.d.ts',
  exports: {
    '.': { types: './dist/index.d.ts', default: './dist/index.js' },
    './package.json': './package.json',
  },
  files: ['dist'],
  engines,
};
const bad = {
  ...good,
  name: '@invented/bad',
  version: '1.0.1',
  description: '',
  license: 'ISC',
  type: 'module',
  exports: { '.': good.exports['.'], './deep/*': './dist/*' },
  engines: { node: '>=18' },
  scripts: { postinstall: 'node build.js' },
  dependencies: { '@invented/good': '^1.0.0' },
};

test(
  'what would be published of this repository is right',
  () => {
    const results = check(repository);
    expect(results.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['@loopprof/core', '@loopprof/express']),
    );
    expect(results.filter(({ problems }) => problems.length > 0)).toEqual([]);
  },
  5 * 60_000,
);

test(
  'what is wrong is found, and what is right is not',
  () => {
    const root = mkdtempSync(path.join(tmpdir(), 'loopprof-manifests-'));
    const write = (file: string, content: unknown) => {
      mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
      writeFileSync(path.join(root, file), typeof content === 'string' ? content : JSON.stringify(content));
    };
    try {
      write('package.json', { private: true, license: 'MIT', engines });
      write('lerna.json', { version: '1.0.0' });
      write('package-lock.json', {
        packages: { 'node_modules/x': { resolved: 'https://registry.invalid/x.tgz' } },
      });
      for (const manifest of [good, bad]) {
        const directory = `packages/${path.basename(manifest.name)}`;
        write(`${directory}/package.json`, manifest);
        write(`${directory}/dist/index.js`, 'exports.answer = 42;');
        write(`${directory}/dist/index.d.ts`, 'export declare const answer: number;');
      }
      write('packages/unbuilt/package.json', { ...good, name: '@invented/unbuilt' });

      const results = new Map(check(root).map(({ name, problems }) => [name, problems]));

      expect(results.get('@invented/good')).toEqual([]);
      expect(results.get('@invented/unbuilt')).toEqual([
        'files names dist, which is not there: npm run build',
      ]);
      expect(results.get('package-lock.json')).toEqual([
        'node_modules/x names the registry that it came from',
      ]);
      expect(results.get('@invented/bad')).toEqual(
        expect.arrayContaining([
          'license is not MIT',
          'description is missing',
          "version 1.0.1 is not lerna.json's 1.0.0",
          "engines are not the root's",
          'it runs a script on install (postinstall)',
          'exports has ./deep/*, which nobody decided to support',
          'exports hides ./package.json',
          'dependencies wants @invented/good@^1.0.0, not 1.0.0',
          expect.stringMatching(/^publint: .* is written in CJS, but is interpreted as ESM/),
          expect.stringMatching(/^are-the-types-wrong: CJSResolvesToESM/),
        ]),
      );
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  },
  5 * 60_000,
);
