import js from '@eslint/js';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

/**
 * Who may import whom. A row is a package, or a folder or file of packages/core/src; `*` stands for those without a row.
 *   may    what it may import of ours: folders and files of core/src as they stand in the import, packages by name
 *   types  what it may import for its types only
 *   owns   modules from outside that nobody else in packages may import
 *   node   the only modules of Node that it may import (missing: any)
 */
export const importLaw = {
  '*': { may: [] },
  express: { may: ['@loopprof/core'], types: ['express'] },
  koa: { may: ['@loopprof/core'], owns: ['koa', '@koa/router'] },
  fastify: { may: ['@loopprof/core'], owns: ['fastify', 'fastify-plugin'] },
  viewer: { may: ['@loopprof/core'] },
  cli: { may: ['@loopprof/core', '@loopprof/viewer'] },

  core: { may: [] },
  'core/*': { may: [] },
  'core/errors.ts': { may: [] },
  'core/logger.ts': { may: [] },
  'core/realm.ts': { may: [] },
  'core/trigger-rules.ts': { may: [] },
  'core/config.ts': { may: ['errors.js', 'logger.js', 'engine/engine-name.js', 'trigger-rules.js'] },
  'core/pprof': { may: [], owns: ['pprof-format'], node: ['timers/promises', 'util', 'zlib'] },
  'core/engine': {
    may: ['errors.js', 'realm.js'],
    types: ['pprof/'],
    owns: ['@datadog/pprof', 'node:inspector', 'inspector'],
  },
  'core/recorder': { may: ['engine/', 'pprof/', 'errors.js', 'realm.js'] },
  'core/monitor': { may: ['errors.js', 'config.js'] },
  'core/symbols': { may: ['pprof/'], owns: ['@jridgewell/trace-mapping'] },
  'core/profiles': { may: ['recorder/', 'monitor/', 'pprof/', 'symbols/', 'errors.js', 'config.js'] },
  'core/http': { may: ['profiles/', 'config.js', 'errors.js', 'logger.js'] },
  'core/sidecar': {
    may: [
      'http/',
      'profiles/',
      'recorder/',
      'engine/',
      'symbols/',
      'snapshots/',
      'config.js',
      'errors.js',
      'logger.js',
      'realm.js',
      'trigger-rules.js',
    ],
    types: ['monitor/', 'pprof/'],
  },
  'core/snapshots': {
    may: ['http/', 'profiles/', 'recorder/', 'config.js', 'errors.js', 'logger.js', 'trigger-rules.js'],
  },
};

const isPath = (name) => /(\/|\.js)$/.test(name);
const outside = ({ owns = [], types = [] }) => [...owns, ...types.filter((name) => !isPath(name))];
const anyOf = (alternatives) => `(?:${alternatives.join('|') || '$^'})`;
const literally = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** What a row forbids to one of its files: `depth` levels below `src`, `inner` of them within the row itself (-1: the row is the file). */
function forbiddenImports(name, { inner, depth }) {
  const { may, types = [], node } = importLaw[name];
  const others = Object.entries(importLaw).flatMap(([other, row]) => (other === name ? [] : outside(row)));
  const said = (names) => names.join(', ') || 'nothing of ours';
  const message = `${name} may import ${said(may)}${types.length ? `, for types also ${said(types)}` : ''} (importLaw in eslint.config.mjs).`;

  const src = depth === 0 ? '\\./' : `(?:\\.\\./){${depth}}`;
  const target = (to) =>
    to.endsWith('/') ? src + literally(to) : `${isPath(to) ? src : ''}${literally(to)}$`;
  const own = inner < 0 ? [] : [`\\./\\w`, ...(inner > 0 ? [`(?:\\.\\./){1,${inner}}\\w`] : [])];
  const allowed = [...own, ...may.map(target), ...types.map(target)];

  const patterns = [
    // An allowed beginning must not be a detour (`../pprof/../http/`), hence the look for a second climb.
    { regex: `^(?=\\.|@loopprof/)(?!${anyOf(allowed)}(?!.*\\.\\.))`, message },
    {
      regex: `^${anyOf(others.map(literally))}(?:/|$)`,
      message: `It has an owner, and that is not ${name}. ${message}`,
    },
  ];
  if (types.length) {
    patterns.push({ regex: `^${anyOf(types.map(target))}`, allowTypeImports: true, message });
  }
  if (node) {
    patterns.push({
      regex: `^node:(?!${anyOf(node)}$)`,
      message: `Of Node it may use ${node.join(', ')}. ${message}`,
    });
  }
  return patterns;
}

function restrictions(patterns) {
  return {
    'no-restricted-imports': ['error', { patterns }],
    'no-restricted-syntax': [
      'error',
      { selector: 'ExportAllDeclaration', message: 'Name what is exported.' },
      // no-restricted-imports does not look at import() and require().
      ...patterns.flatMap(({ regex, message }) => {
        const value = `/${regex.replaceAll('/', '\\u002F')}/`;
        return [
          { selector: `ImportExpression[source.value=${value}]`, message },
          { selector: `CallExpression[callee.name="require"][arguments.0.value=${value}]`, message },
        ];
      }),
    ],
  };
}

/** The blocks of one row: a relative import reads differently at every depth, so each depth has its own. */
function law(name) {
  const [pkg, part] = name.split('/');
  const src = `packages/${pkg}/src/`;
  if (part?.endsWith('.ts')) {
    return [{ files: [src + part], rules: restrictions(forbiddenImports(name, { inner: -1, depth: 0 })) }];
  }
  return [0, 1, 2, 3].map((inner) => ({
    files: [`${src}${part ? `${part}/` : ''}${'*/'.repeat(inner)}*.ts`],
    rules: restrictions(forbiddenImports(name, { inner, depth: inner + (part ? 1 : 0) })),
  }));
}

export default defineConfig(
  { ignores: ['**/dist/', 'coverage/', '.cache/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.{js,mjs,cjs}'],
    extends: [js.configs.recommended],
    languageOptions: {
      globals: Object.fromEntries(Object.getOwnPropertyNames(globalThis).map((name) => [name, 'readonly'])),
    },
  },
  {
    files: ['**/*.{js,cjs}'],
    languageOptions: { sourceType: 'commonjs', globals: { __dirname: 'readonly', __filename: 'readonly' } },
  },
  {
    files: ['**/*.ts'],
    extends: [js.configs.recommended, tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-unused-vars': ['error', { ignoreRestSiblings: true }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
    },
  },
  { files: ['packages/*/src/**/*.ts'], rules: { 'max-params': ['error', 3], 'no-console': 'error' } },
  {
    // An addon that may not load is asked for when an engine starts, inside a try: import statements and import() cannot do that
    // synchronously.
    files: ['packages/core/src/engine/*.ts'],
    rules: {
      '@typescript-eslint/no-require-imports': [
        'error',
        { allow: importLaw['core/engine'].owns.map((name) => `^${literally(name)}(?:/|$)`) },
      ],
    },
  },
  Object.keys(importLaw).flatMap(law),
);
