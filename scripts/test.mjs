// `npm test` after the build: every test on the Node that runs this, then the tests that depend on the engine (`*.engine.test.ts`)
// on each Node that `npm run nodes` has fetched. Arguments go to Jest; with any, the other Nodes are left out unless `--nodes`
// is among them. The last line is the sum of all runs, which is what CI reads.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { fetchedNodes, nodeVersions } from './fetch-nodes.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const jest = path.join(root, 'node_modules', 'jest', 'bin', 'jest.js');
const reports = path.join(root, '.cache', 'reports');
const given = process.argv.slice(2);
const jestArguments = given.filter((argument) => argument !== '--nodes');
const isCI = Boolean(process.env.CI);
// A handle that a test leaves open would otherwise keep Jest alive, and CI waiting, for ever.
const timeLimitMs = 30 * 60_000;

const onlyEngine = ['--testMatch', '**/*.engine.test.ts'];
// Without arguments there must be engine tests; a pattern may well name none of them.
if (jestArguments.length > 0) onlyEngine.push('--passWithNoTests');

const total = { passed: 0, failed: 0, skipped: 0 };

function summary({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`;
}

function read(report) {
  try {
    return JSON.parse(readFileSync(report, 'utf8'));
  } catch {
    return undefined;
  }
}

function run({ binary, version, only = [] }) {
  const report = path.join(reports, `${version}.json`);
  rmSync(report, { force: true });
  // One for all Nodes: what is compiled is the same, and the longest files of the first run begin first in the others.
  const cache = path.join(root, '.cache', 'jest');
  const { status, signal } = spawnSync(
    binary,
    [jest, ...only, '--json', '--outputFile', report, '--cacheDirectory', cache, ...jestArguments],
    { cwd: root, stdio: ['inherit', 'ignore', 'inherit'], timeout: timeLimitMs },
  );

  const result = read(report);
  const count = {
    passed: result?.numPassedTests ?? 0,
    // A file that did not load has run none of its tests; it counts as one failure so that the sum cannot look green.
    failed: (result?.numFailedTests ?? 0) + (result?.numRuntimeErrorTestSuites ?? 0),
    skipped: (result?.numPendingTests ?? 0) + (result?.numTodoTests ?? 0),
  };
  if (count.failed === 0 && (status !== 0 || !result)) {
    count.failed = 1;
    console.log(`Jest ended with ${signal ?? `exit code ${status}`}${result ? '' : ' and wrote no report'}`);
  }
  for (const key of Object.keys(total)) total[key] += count[key];
  return count;
}

/** The fetched Nodes, or one line (in CI a failure) about those that are not there. */
function otherNodes() {
  const own = process.versions.node.split('.')[0];
  const fetched = fetchedNodes().filter(({ major }) => String(major) !== own);
  const missing = Object.keys(nodeVersions).filter(
    (major) => major !== own && !fetched.some((node) => String(node.major) === major),
  );
  if (missing.length > 0) {
    console.log(
      `The engine tests did not run on Node ${missing.join(', ')}: get them with \`npm run nodes\``,
    );
    if (isCI) total.failed += missing.length;
  }
  return fetched;
}

mkdirSync(reports, { recursive: true });
const lines = [];
const all = run({ binary: process.execPath, version: process.version });
lines.push(`Node ${process.version}, all tests: ${summary(all)}`);

if (given.length === 0 || given.includes('--nodes')) {
  for (const { major, binary } of otherNodes()) {
    const version = `v${nodeVersions[major]}`;
    console.log(`\nNode ${version}, engine tests`);
    const count = run({ binary, version, only: onlyEngine });
    lines.push(`Node ${version}, engine tests: ${summary(count)}`);
  }
}

const ran = total.passed + total.failed;
if (ran === 0) lines.push('No test ran');
console.log(`\n${lines.join('\n')}\n${summary(total)}`);
process.exitCode = total.failed > 0 || ran === 0 ? 1 : 0;
