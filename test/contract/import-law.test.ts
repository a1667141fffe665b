import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(__dirname, '../..');

/**
 * What a file may and may not import. Written out and not taken from the table in eslint.config.mjs, so that a row which
 * somebody loosens there has to be loosened here too.
 */
const cases: { file: string; allowed: string[]; forbidden: string[] }[] = [
  {
    file: 'core/src/pprof/encode.ts',
    allowed: ['./merge.js', 'pprof-format', 'node:zlib', 'node:util', 'node:timers/promises'],
    forbidden: [
      '../engine/engine.js',
      '../errors.js',
      '../config.js',
      '../logger.js',
      '../realm.js',
      '../index.js',
      'node:fs',
      'node:timers',
    ],
  },
  {
    file: 'core/src/engine/datadog.ts',
    allowed: ['./engine.js', '../errors.js', '../realm.js', '@datadog/pprof', 'node:inspector', 'node:v8'],
    forbidden: [
      '../pprof/encode.js',
      '../recorder/recorder.js',
      '../config.js',
      '../logger.js',
      'pprof-format',
      'express',
    ],
  },
  {
    file: 'core/src/recorder/recorder.ts',
    allowed: ['./window.js', '../engine/engine.js', '../pprof/encode.js', '../errors.js', '../realm.js'],
    forbidden: [
      '../config.js',
      '../logger.js',
      '../monitor/gc.js',
      '../profiles/cpu.js',
      '@datadog/pprof',
      'node:inspector',
    ],
  },
  {
    file: 'core/src/monitor/gc.ts',
    allowed: ['./requests.js', '../errors.js', '../config.js', 'node:perf_hooks'],
    forbidden: [
      '../recorder/recorder.js',
      '../engine/engine.js',
      '../pprof/encode.js',
      '../logger.js',
      '../http/handler.js',
    ],
  },
  {
    file: 'core/src/symbols/maps.ts',
    allowed: ['./files.js', '../pprof/encode.js', '@jridgewell/trace-mapping', 'node:fs'],
    forbidden: ['../errors.js', '../recorder/recorder.js', '../profiles/cpu.js', '../engine/engine.js'],
  },
  {
    file: 'core/src/profiles/cpu.ts',
    allowed: [
      './registry.js',
      '../recorder/recorder.js',
      '../monitor/gc.js',
      '../pprof/encode.js',
      '../symbols/maps.js',
      '../errors.js',
      '../config.js',
    ],
    forbidden: [
      '../engine/engine.js',
      '../http/handler.js',
      '../logger.js',
      '../snapshots/files.js',
      '../profiler.js',
    ],
  },
  {
    file: 'core/src/http/handler.ts',
    allowed: [
      './params.js',
      '../profiles/registry.js',
      '../config.js',
      '../errors.js',
      '../logger.js',
      'node:http',
    ],
    forbidden: [
      '../recorder/recorder.js',
      '../engine/engine.js',
      '../pprof/encode.js',
      '../monitor/gc.js',
      '../sidecar/main.js',
    ],
  },
  {
    file: 'core/src/sidecar/main.ts',
    allowed: [
      '../http/handler.js',
      '../profiles/registry.js',
      '../recorder/recorder.js',
      '../engine/engine.js',
      '../symbols/symbolizer.js',
      '../snapshots/snapshotter.js',
      '../realm.js',
      '../config.js',
      '../errors.js',
      '../logger.js',
      '../trigger-rules.js',
    ],
    forbidden: ['../pprof/encode.js', '../monitor/gc.js', '../profiler.js', '../index.js'],
  },
  {
    file: 'core/src/snapshots/main.ts',
    allowed: [
      '../http/handler.js',
      '../profiles/registry.js',
      '../recorder/recorder.js',
      '../config.js',
      '../errors.js',
      '../logger.js',
    ],
    forbidden: [
      '../engine/engine.js',
      '../pprof/encode.js',
      '../monitor/gc.js',
      '../sidecar/main.js',
      '../profiler.js',
      '../index.js',
    ],
  },
  { file: 'core/src/errors.ts', allowed: [], forbidden: ['./logger.js', './config.js', './pprof/encode.js'] },
  { file: 'core/src/logger.ts', allowed: ['node:util'], forbidden: ['./config.js', './http/handler.js'] },
  { file: 'core/src/realm.ts', allowed: ['node:vm'], forbidden: ['./errors.js', './engine/engine.js'] },
  {
    file: 'core/src/config.ts',
    allowed: ['./errors.js', './logger.js', './trigger-rules.js'],
    forbidden: ['./profiler.js', './http/access.js'],
  },
  {
    file: 'core/src/trigger-rules.ts',
    allowed: ['node:util'],
    forbidden: ['./config.js', './errors.js', './snapshots/triggers.js'],
  },
  {
    file: 'core/src/profiler.ts',
    allowed: [
      './config.js',
      './engine/select.js',
      './recorder/recorder.js',
      './http/server.js',
      './snapshots/files.js',
    ],
    forbidden: [
      '@datadog/pprof',
      'pprof-format',
      'express',
      '@loopprof/core',
      '@loopprof/express',
      '../../express/src/index.js',
    ],
  },
  // A folder nobody has given a row.
  {
    file: 'core/src/invented/thing.ts',
    allowed: ['./other.js'],
    forbidden: ['../errors.js', '../pprof/encode.js'],
  },
  {
    file: 'invented/src/index.ts',
    allowed: ['./other.js'],
    forbidden: ['@loopprof/core', '../../core/src/index.js'],
  },
  // Depth does not open a way round.
  {
    file: 'core/src/http/pages/index-page.ts',
    allowed: ['./table.js', '../params.js', '../../errors.js', '../../profiles/registry.js'],
    forbidden: ['../../recorder/recorder.js', '../../../../express/src/index.js', '../../index.js'],
  },
  {
    file: 'core/src/http/access.ts',
    allowed: ['../profiles/registry.js'],
    forbidden: [
      '../profiles/../recorder/recorder.js',
      './../recorder/recorder.js',
      '..',
      '../',
      '../profiles',
      '../errors',
    ],
  },
  ...['express', 'koa', 'fastify'].map((adapter) => {
    const next = { express: 'koa', koa: 'fastify', fastify: 'express' }[adapter] ?? '';
    return {
      file: `${adapter}/src/index.ts`,
      allowed: ['./router.js', '@loopprof/core', 'node:http'],
      forbidden: [
        '@loopprof/core/dist/http/handler.js',
        '../../core/src/index.js',
        `@loopprof/${next}`,
        `../../${next}/src/index.js`,
        next,
        '@datadog/pprof',
      ],
    };
  }),
  { file: 'koa/src/index.ts', allowed: ['koa', '@koa/router'], forbidden: [] },
  { file: 'fastify/src/index.ts', allowed: ['fastify', 'fastify-plugin'], forbidden: [] },
  {
    file: 'viewer/src/index.ts',
    allowed: ['./page.js', '@loopprof/core'],
    forbidden: [
      '@loopprof/core/src/index.js',
      '@loopprof/cli',
      '@loopprof/express',
      '../../core/src/index.js',
    ],
  },
  {
    file: 'cli/src/index.ts',
    allowed: ['./top.js', '@loopprof/core', '@loopprof/viewer'],
    forbidden: ['@loopprof/viewer/src/page.js', '@loopprof/express', '../../viewer/src/index.js'],
  },
];

/** Every way there is to reach for a module. */
const forms: ((from: string) => string)[] = [
  (from) => `import { a } from '${from}'; a();`,
  (from) => `import '${from}';`,
  (from) => `export { a } from '${from}';`,
  (from) => `export const a = import('${from}');`,
  (from) => `export const a: unknown = require('${from}');`,
];

const typesOnly: { file: string; from: string }[] = [
  { file: 'core/src/engine/engine.ts', from: '../pprof/profile.js' },
  { file: 'express/src/index.ts', from: 'express' },
];

interface Line {
  file: string;
  line: string;
  errors: string[];
}

function lint(lines: { file: string; line: string }[]): { rows: string[]; lines: Line[] } {
  const child = spawnSync(process.execPath, [path.join(root, 'test/support/lint-lines.mjs')], {
    input: JSON.stringify(lines.map(({ file, line }) => ({ file: `packages/${file}`, line }))),
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (child.status !== 0) throw new Error(child.stderr);
  return JSON.parse(child.stdout) as { rows: string[]; lines: Line[] };
}

const expected = [
  ...cases.flatMap(({ file, allowed, forbidden }) => [
    ...allowed.flatMap((from) => forms.map((form) => ({ file, line: form(from), errors: 0 }))),
    ...forbidden.flatMap((from) => forms.map((form) => ({ file, line: form(from), errors: 1 }))),
  ]),
  ...typesOnly.flatMap(({ file, from }) => [
    { file, line: `import type { A } from '${from}'; export const a: A = 1;`, errors: 0 },
    { file, line: `export type { A } from '${from}';`, errors: 0 },
    ...forms.map((form) => ({ file, line: form(from), errors: 1 })),
  ]),
  {
    file: 'core/src/pprof/encode.ts',
    line: `import type { A } from '../errors.js'; export const a: A = 1;`,
    errors: 1,
  },
  { file: 'core/src/index.ts', line: `export * from './profiler.js';`, errors: 1 },
];

const answer = lint(expected);

test.each([...new Set(expected.map(({ file }) => file))])('%s', (file) => {
  const said = expected.flatMap((line, index) =>
    line.file === file ? [{ line, answer: answer.lines[index] }] : [],
  );
  const wrong = said.filter(({ line, answer }) => line.errors > 0 !== (answer?.errors ?? []).length > 0);
  expect(wrong.map(({ line }) => `${line.errors ? 'not forbidden' : 'not allowed'}: ${line.line}`)).toEqual(
    [],
  );
});

test('every package and every folder of core has a row', () => {
  const folders = (at: string) =>
    readdirSync(path.join(root, at), { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [entry.name] : [],
    );
  expect(answer.rows).toEqual(
    expect.arrayContaining([
      ...folders('packages'),
      ...folders('packages/core/src').map((folder) => `core/${folder}`),
    ]),
  );
});
