/** The report of a hang, file by file. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runToEnd } from '../support/child.js';
import { newFolder } from '../support/folder.js';

interface Report {
  event: string;
  kind: string;
  forMs: number;
  stack: string[];
  file?: string;
}

const filesIn = (folder: string): string[] =>
  (existsSync(folder) ? readdirSync(folder) : [])
    .filter((name) => /^\d.*-hang-\d+\.json$/.test(name))
    .map((name) => join(folder, name));

const reportIn = (file: string): Report => JSON.parse(readFileSync(file, 'utf8')) as Report;

it.concurrent('each profiler has its own, from its own threshold on, in its own directory', async () => {
  const [patient, soon, later] = ['patient', 'soon', 'later'].map((name) => join(newFolder(), name)) as [
    string,
    string,
    string,
  ];
  const configs = [
    { profileDir: patient, hangThresholdMs: 60_000 },
    { profileDir: soon, hangThresholdMs: 300 },
    { profileDir: later, hangThresholdMs: 2400 },
    { profileDir: soon, hangThresholdMs: 600 },
  ];
  const { code, stderr } = await runToEnd('hang-reports.cjs', {
    args: [JSON.stringify(configs), 'spin', '3500'],
  });
  expect(code).toBe(0);
  expect([patient, soon, later].map((folder) => filesIn(folder).length)).toEqual([0, 1, 1]);
  const [first, second] = [...filesIn(soon), ...filesIn(later)].map(reportIn) as [Report, Report];
  expect([first.stack.join(), second.stack.join()]).toEqual([
    expect.stringContaining('hangHere'),
    expect.stringContaining('hangHere'),
  ]);
  expect(second.forMs).toBeGreaterThanOrEqual(2400);
  expect(first.forMs).toBeLessThan(second.forMs);
  // One line for one hang.
  expect((JSON.parse(stderr) as Report).file).toBe(filesIn(soon)[0]);
});

it.concurrent(
  'is there before native code has refused to tell more, and whole whenever it is read',
  async () => {
    const profileDir = newFolder();
    const config = { profileDir, hangThresholdMs: 300 };
    const ended = runToEnd('hang-reports.cjs', { args: [JSON.stringify([config]), 'native', '4000'] });
    let isOver = false;
    void ended.then(() => (isOver = true));
    const seen = new Map<string, Report>();
    while (!isOver) {
      await sleep(20);
      for (const report of filesIn(profileDir).map(reportIn)) seen.set(report.kind, report);
    }
    expect([...seen.keys()]).toEqual(['unknown', 'native']);
    expect(seen.get('unknown')).toMatchObject({ event: 'loopprof.hang', stack: [] });
    expect(filesIn(profileDir)).toHaveLength(1);
    expect(JSON.parse((await ended).stderr)).toMatchObject({ kind: 'native', file: filesIn(profileDir)[0] });
  },
);
