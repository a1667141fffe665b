import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { hasTool, toolPath } from './tools.js';

const root = path.resolve(__dirname, '../..');

interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
}

function runFixture(ci: string): { report: Report; printed: string } {
  const room = mkdtempSync(path.join(tmpdir(), 'loopprof-'));
  try {
    const outputFile = path.join(room, 'report.json');
    const jest = require.resolve('jest/bin/jest');
    const child = spawnSync(
      process.execPath,
      [jest, '--testMatch', '**/needs-tool.fixture.ts', '--json', '--outputFile', outputFile],
      {
        cwd: root,
        env: {
          ...process.env,
          CI: ci,
          PATH: [path.dirname(process.execPath), process.env['PATH']].join(path.delimiter),
        },
        encoding: 'utf8',
      },
    );
    return { report: JSON.parse(readFileSync(outputFile, 'utf8')) as Report, printed: child.stderr };
  } finally {
    rmSync(room, { recursive: true, force: true });
  }
}

test('a tool is found by its name on the PATH, or not', () => {
  expect(hasTool('no-such-tool')).toBe(false);
  const before = process.env['PATH'];
  process.env['PATH'] = path.dirname(process.execPath);
  try {
    expect(toolPath(path.basename(process.execPath))).toBe(process.execPath);
  } finally {
    process.env['PATH'] = before;
  }
});

test('without the tool the tests are skipped with one line that names it', () => {
  const { report, printed } = runFixture('');
  expect(report).toMatchObject({ numPassedTests: 1, numFailedTests: 0, numPendingTests: 1 });
  expect(printed.match(/no-such-tool/g)).toHaveLength(1);
  expect(printed).toContain('skipped: with a tool that nobody has: "no-such-tool" is not on the PATH');
});

test('without the tool they fail where CI is set', () => {
  const { report, printed } = runFixture('true');
  expect(report).toMatchObject({ numPassedTests: 1, numFailedTests: 1, numPendingTests: 0 });
  expect(printed).toContain('CI has to have what the tests use');
});
