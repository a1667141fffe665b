/** A process in trouble of each kind, one after the other: each rule takes a snapshot in its case, and in no other. */
import { existsSync } from 'node:fs';
import type { Firing } from '@loopprof/core';
import { runToEnd } from '../support/child.js';
import { newFolder } from '../support/folder.js';

interface Line {
  case?: string;
  again?: string;
  reason?: string;
  triggers?: Firing[];
  files?: Record<string, string>;
  level?: string;
  message?: string;
}

let lines: Line[];
let cases: string[];

beforeAll(async () => {
  const { code, stdout, stderr } = await runToEnd('triggers.cjs', {
    args: [newFolder()],
    nodeArgs: ['--max-old-space-size=300'],
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  cases = lines.flatMap((line) => line.case ?? []);
});

/** What came of a case, up to the next. */
function linesOf(key: 'case' | 'again', name: string): Line[] {
  const begin = lines.findIndex((line) => line[key] === name) + 1;
  const end = lines.findIndex((line, index) => index >= begin && (line.case ?? line.again) !== undefined);
  return lines.slice(begin, end < 0 ? undefined : end);
}

it('each rule has taken one snapshot, in its own case', () => {
  expect(cases).toHaveLength(8);
  const taken = cases.map((name) => linesOf('case', name).flatMap(({ reason }) => reason ?? []));
  expect(taken).toEqual(cases.map((name) => [name]));
});

it('each says in the log what fired with which values, and writes files', () => {
  for (const name of cases) {
    const said = linesOf('case', name);
    const { triggers, files } = said.find(({ reason }) => reason === name) as Required<Line>;
    const [firing, ...others] = triggers;
    expect(others).toEqual([]);
    expect(Object.keys(firing?.values ?? {}).length).toBeGreaterThan(0);
    const fired = said.find(({ message }) => message?.startsWith(`loopprof: trigger ${firing?.on} fired (`));
    for (const field of Object.keys(firing?.values ?? {})) expect(fired?.message).toContain(field);
    for (const path of Object.values(files)) expect(existsSync(path)).toBe(true);
    expect(Object.keys(files)).toEqual(expect.arrayContaining(['cpu', 'memory', 'gc_stats']));
  }
});

it.each([
  ['stall', 'stall', '300 s: its cooldownMs is not over'],
  ['latency', 'latency', '300 s: its cooldownMs is not over'],
  ['errors', 'errors', '300 s: its cooldownMs is not over'],
  ['signal', 'signal', '60 s: its cooldownMs is not over'],
])('%s a second time is held back, and the log says why', (name, on, why) => {
  const said = linesOf('again', name);
  expect(said.filter(({ reason }) => reason !== undefined)).toEqual([]);
  const [held, ...others] = said.flatMap(({ message }) => (message?.includes(' holds (') ? [message] : []));
  expect(others).toEqual([]);
  expect(held).toMatch(
    new RegExp(`^loopprof: trigger ${on} holds \\(.*\\) but takes no snapshot for \\d+ s: `),
  );
  expect(held?.replace(/for \d+ s/, `for ${why.split(':')[0]}`)).toContain(why);
});

it('a heap that stays large is held back, and the log says why', () => {
  const held = linesOf('case', 'heap').flatMap(({ message }) =>
    message?.includes(' holds (') ? [message] : [],
  );
  expect(held).toEqual([
    expect.stringMatching(
      /^loopprof: trigger heap holds \(.*\) but takes no snapshot for \d+ s: its cooldownMs is not over$/,
    ),
  ]);
});
