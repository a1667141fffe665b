/** Rules whose condition holds 10 000 times in a row, with a real folder to fill: what they may take, and what it may hold. */
import { basename } from 'node:path';
import type { ProfilerConfig, SignalTrigger } from '@loopprof/core';
import { runToEnd } from '../support/child.js';
import { newFolder } from '../support/folder.js';

const SIGNALS = 10_000;

interface Seen {
  snapshots: string[];
  /** Of all that lies in the folder, unfinished or not. */
  bytes: number;
  /** Whether all of them had their manifest and the files that it names; unknown when one went while they were read. */
  whole?: boolean;
}

interface Line {
  message?: string;
  taken?: string;
  seen?: Seen;
  tookMs?: number;
}

interface Run {
  /** Names, in the order in which they were taken; the last one by hand, when all was over. */
  taken: string[];
  seen: Seen[];
  fired: string[];
  heldBack: string[];
  /** Lines of the log that are about neither triggers nor their snapshots. */
  others: string[];
  tookMs: number;
}

async function run(rule: Partial<SignalTrigger>, snapshots: ProfilerConfig['snapshots'] = {}): Promise<Run> {
  const triggers: SignalTrigger[] = [{ on: 'signal', signal: 'SIGUSR2', ...rule }];
  const config: Partial<ProfilerConfig> = {
    enableHTTP: false,
    writeOnStop: false,
    enableCPU: false,
    // For files of some size.
    memorySampleBytes: 16_384,
    profileDir: newFolder(),
    snapshots,
    triggers,
    hangThresholdMs: 600_000,
    stallThresholdMs: 60_000,
  };
  const { code, stdout, stderr } = await runToEnd('signalled.cjs', {
    args: [JSON.stringify(config), String(SIGNALS)],
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  const messages = lines.flatMap(({ message }) => message ?? []);
  const matching = (pattern: RegExp) => messages.filter((message) => pattern.test(message));
  return {
    taken: lines.flatMap(({ taken }) => (taken === undefined ? [] : [basename(taken)])),
    seen: lines.flatMap(({ seen }) => seen ?? []),
    fired: matching(/^loopprof: trigger signal fired \(/),
    heldBack: matching(/^loopprof: trigger signal holds \(/),
    others: messages.filter(
      (message) => !/^loopprof: (trigger signal (fired|holds) \(|snapshot taken: )/.test(message),
    ),
    tookMs: lines.at(-1)?.tookMs ?? NaN,
  };
}

const MAX_COUNT = 5;
const MAX_BYTES = 2 ** 20;
const BUDGET = 150;

let byCount: Run;
let byBytes: Run;
let asTheyCome: Run;

beforeAll(async () => {
  [byCount, byBytes, asTheyCome] = await Promise.all([
    run({ cooldownMs: 0, maxPerHour: BUDGET }, { maxCount: MAX_COUNT }),
    run({ cooldownMs: 0, maxPerHour: BUDGET }, { maxBytes: MAX_BYTES }),
    run({}),
  ]);
});

const limited = (): [string, Run][] => [
  ['maxCount', byCount],
  ['maxBytes', byBytes],
];

it('a budget that is larger than the folder is used up and held to, and is told of once', () => {
  for (const [, { taken, fired, heldBack, others }] of limited()) {
    expect([taken.length, fired.length]).toEqual([BUDGET + 1, BUDGET]);
    expect(heldBack).toEqual([expect.stringMatching(/for \d+ s: its maxPerHour is used up$/)]);
    expect(others).toEqual([]);
  }
});

it('the folder never holds more than it may, half-written snapshots included', () => {
  const most = ({ seen }: Run, of: (each: Seen) => number): number => Math.max(...seen.map(of));
  for (const [, { seen }] of limited()) expect(seen.length).toBeGreaterThan(SIGNALS / 100 + BUDGET);
  expect(most(byCount, ({ snapshots }) => snapshots.length)).toBe(MAX_COUNT);
  expect(most(byBytes, ({ bytes }) => bytes)).toBeLessThanOrEqual(MAX_BYTES);
  // It was full, or nothing would be proven.
  expect(most(byBytes, ({ bytes }) => bytes)).toBeGreaterThan(0.7 * MAX_BYTES);
  expect(most(byBytes, ({ snapshots }) => snapshots.length)).toBeLessThan(BUDGET / 2);
});

it('what goes goes whole, and the oldest first', () => {
  for (const [limit, { taken, seen }] of limited()) {
    expect(seen.filter(({ whole }) => whole === false)).toEqual([]);
    expect(seen.filter(({ whole }) => whole === true).length).toBeGreaterThan(seen.length / 2);
    for (const { snapshots } of seen) {
      if (snapshots.length === 0) continue;
      const from = taken.indexOf(snapshots[0] as string);
      expect([limit, snapshots]).toEqual([limit, taken.slice(from, from + snapshots.length)]);
    }
    // Nothing that had gone came back.
    const oldest = seen.flatMap(({ snapshots }) => snapshots.slice(0, 1));
    expect(oldest).toEqual([...oldest].sort());
    expect(seen.at(-1)?.snapshots.at(-1)).toBe(taken.at(-1));
  }
});

it('by default one is taken per cooldown, and each time it is told once that the others are held back', () => {
  const { taken, fired, heldBack, others, tookMs, seen } = asTheyCome;
  expect(fired.length).toBeGreaterThan(0);
  expect(fired.length).toBeLessThanOrEqual(1 + tookMs / 10_000);
  expect(taken).toHaveLength(fired.length + 1);
  expect(heldBack).toHaveLength(fired.length);
  for (const held of heldBack) expect(held).toMatch(/for \d+ s: its cooldownMs is not over$/);
  expect(others).toEqual([]);
  expect(seen.at(-1)?.snapshots).toEqual(taken);
});
