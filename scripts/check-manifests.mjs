// Whether what `npm publish` would send is what a user's `require`, `import` and compiler expect, and what this repository promises.
// Usage: check-manifests.mjs [--json] [root]
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { isDeepStrictEqual, parseArgs, promisify } from 'node:util';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';

const run = promisify(execFile);
const home = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
// What its command checks with, and comes with; the command itself starts a compiler for every package.
const attw = createRequire(createRequire(import.meta.url).resolve('@arethetypeswrong/cli/package.json'));
const { checkPackage, createPackageFromTarballData } = await import(
  pathToFileURL(attw.resolve('@arethetypeswrong/core')).href
);

/** Entries besides "." and "./package.json" that a package has for a reason. */
const furtherExports = {};

const json = async (file) => JSON.parse(await readFile(file, 'utf8'));

function fieldProblems(manifest, { directory, rootManifest, version, ours }) {
  const problems = [];
  const { engines, exports: entries = {}, files = [], scripts = {} } = manifest;

  if (manifest.license !== rootManifest.license) problems.push(`license is not ${rootManifest.license}`);
  if (!manifest.description) problems.push('description is missing');
  if (manifest.version !== version)
    problems.push(`version ${manifest.version} is not lerna.json's ${version}`);
  if (!isDeepStrictEqual(engines, rootManifest.engines)) problems.push("engines are not the root's");

  for (const script of ['preinstall', 'install', 'postinstall']) {
    if (scripts[script]) problems.push(`it runs a script on install (${script})`);
  }
  const closed = ['.', './package.json', ...(furtherExports[manifest.name] ?? [])];
  for (const entry of Object.keys(entries)) {
    if (!closed.includes(entry)) problems.push(`exports has ${entry}, which nobody decided to support`);
  }
  if (!entries['./package.json']) problems.push('exports hides ./package.json');
  if (!entries['.'] && !manifest.bin) problems.push('exports has no "."');

  if (files.length === 0) problems.push('files is missing');
  for (const file of files) {
    if (!file.startsWith('!') && !existsSync(path.join(directory, file))) {
      problems.push(`files names ${file}, which is not there${file === 'dist' ? ': npm run build' : ''}`);
    }
  }
  for (const kind of ['dependencies', 'peerDependencies', 'optionalDependencies', 'devDependencies']) {
    for (const [name, range] of Object.entries(manifest[kind] ?? {})) {
      if (ours.has(name) && range !== version)
        problems.push(`${kind} wants ${name}@${range}, not ${version}`);
    }
  }
  return problems;
}

async function typeProblems(bytes) {
  const analysis = await checkPackage(createPackageFromTarballData(bytes));
  if (!analysis.types) return ['are-the-types-wrong: the package has no types'];
  return analysis.problems.map(
    ({ kind, entrypoint, resolutionKind, fileName }) =>
      `are-the-types-wrong: ${[kind, entrypoint ?? fileName, resolutionKind].filter(Boolean).join(' ')}`,
  );
}

/** Makes the tarballs of packages, all at once: most of what npm does for one is to start. */
async function pack(directories, room) {
  if (directories.length === 0) return [];
  const packing = ['pack', '--json', '--silent', '--ignore-scripts', '--pack-destination', room];
  const { stdout } = await run('npm', [...packing, ...directories], {
    cwd: room,
    shell: process.platform === 'win32',
  });
  return JSON.parse(stdout);
}

/** What is wrong with the tarball, which is all that a user ever gets to see. */
async function packedProblems(manifest, { filename, files }, room) {
  const bytes = new Uint8Array(await readFile(path.join(room, filename)));
  const { messages } = await publint({ pack: { tarball: bytes.buffer } });
  return [
    ...files
      .filter((file) => file.path.endsWith('.tsbuildinfo'))
      .map((file) => `it would publish ${file.path}`),
    ...messages.map((message) => `publint: ${formatMessage(message, manifest, { color: false })}`),
    ...(manifest.exports['.'] ? await typeProblems(bytes) : []),
  ];
}

async function lockfileProblems(root) {
  const file = path.join(root, 'package-lock.json');
  if (!existsSync(file)) return ['it is missing'];
  // With an address in it, the lockfile works only where that registry is reached.
  return Object.entries((await json(file)).packages).flatMap(([name, { resolved }]) =>
    /^https?:/.test(resolved ?? '') ? [`${name} names the registry that it came from`] : [],
  );
}

/** Every package below `root`, and the lockfile, with what is wrong: [{ name, problems }]. */
export async function checkManifests(root = home) {
  const rootManifest = await json(path.join(root, 'package.json'));
  const { version } = await json(path.join(root, 'lerna.json'));
  const directories = (await readdir(path.join(root, 'packages')))
    .map((name) => path.join(root, 'packages', name))
    .filter((directory) => existsSync(path.join(directory, 'package.json')));
  const manifests = await Promise.all(
    directories.map((directory) => json(path.join(directory, 'package.json'))),
  );
  const ours = new Set(manifests.map(({ name }) => name));

  const results = [{ name: 'package-lock.json', problems: await lockfileProblems(root) }];
  const checked = manifests.map((manifest, index) => {
    const directory = directories[index];
    return {
      manifest,
      directory,
      problems: fieldProblems(manifest, { directory, rootManifest, version, ours }),
    };
  });
  // A tarball of what is not built would only repeat that, many times.
  const built = checked.filter(({ problems }) => !problems.some((problem) => problem.startsWith('files')));
  const room = await mkdtemp(path.join(tmpdir(), 'loopprof-pack-'));
  try {
    const packed = await pack(
      built.map(({ directory }) => directory),
      room,
    );
    for (const [index, { manifest, problems }] of built.entries())
      problems.push(...(await packedProblems(manifest, packed[index], room)));
  } finally {
    await rm(room, { recursive: true, force: true });
  }
  return [...results, ...checked.map(({ manifest, problems }) => ({ name: manifest.name, problems }))];
}

async function main() {
  const { values, positionals } = parseArgs({
    options: { json: { type: 'boolean' } },
    allowPositionals: true,
  });
  const results = await checkManifests(positionals[0] && path.resolve(positionals[0]));
  if (values.json) {
    console.log(JSON.stringify(results));
  } else {
    for (const { name, problems } of results) {
      console.log(problems.length === 0 ? `ok      ${name}` : `WRONG   ${name}`);
      for (const problem of problems) console.log(`        ${problem}`);
    }
  }
  process.exitCode = results.some(({ problems }) => problems.length > 0) ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
