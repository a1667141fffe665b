import { execFileSync } from 'node:child_process';
import { accessSync, existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { getHeapStatistics } from 'node:v8';
import { heapLimitBytes, oldGenerationBytes } from '../../src/monitor/heap-limit.js';
import { memoryLimitBytes } from '../../src/monitor/memory-limit.js';

const MB = 2 ** 20;

describe("the heap's limit", () => {
  const { execArgv } = process;
  const options = process.env['NODE_OPTIONS'];
  afterEach(() => {
    process.execArgv = execArgv;
    process.env['NODE_OPTIONS'] = options ?? '';
  });

  it.each([
    ['', ['--max-old-space-size=300'], 300],
    ['--max-old-space-size=200', [], 200],
    ['--enable-source-maps --max_old_space_size 200', ['--inspect=0'], 200],
    ['--max-old-space-size=200', ['--max-old-space-size=100', '--max-old-space-size=300'], 300],
  ])('with NODE_OPTIONS "%s" and arguments %j is %d MB', (environment, args, megabytes) => {
    process.env['NODE_OPTIONS'] = environment;
    process.execArgv = args;
    expect(heapLimitBytes()).toBe(megabytes * MB);
  });

  it('with a percentage is that of the memory', () => {
    process.execArgv = ['--max-old-space-size-percentage=25'];
    expect(heapLimitBytes()).toBe(memoryLimitBytes() / 4);
  });

  it('without a flag is what V8 says, less the young generation', () => {
    process.execArgv = [];
    process.env['NODE_OPTIONS'] = '--max-semi-space-size=16';
    const share = heapLimitBytes() / getHeapStatistics().heap_size_limit;
    expect(share).toBeGreaterThan(0.95);
    expect(share).toBeLessThan(1);
  });
});

it('the old generation holds what lives on, and not what was made just now', () => {
  const make = (length: number): number[][] =>
    Array.from({ length }, () => new Array<number>(32_000).fill(0.5));
  const kept = make(400);
  // The last of them are young until others come.
  make(200);
  const before = oldGenerationBytes();
  expect(before).toBeGreaterThan(kept.length * 32_000 * 8);
  // A collection on the way moves what it finds; it does not come into most of these.
  const grown = Array.from({ length: 20 }, () => {
    const begun = oldGenerationBytes();
    const young = Array.from({ length: 2000 }, (_, n) => ({ n }));
    return (oldGenerationBytes() - begun) / young.length;
  });
  expect(grown.sort((a, b) => a - b)[10]).toBeLessThan(10);
});

describe('the memory limit', () => {
  it("is at most the machine's memory", () => {
    expect(memoryLimitBytes()).toBeGreaterThan(0);
    expect(memoryLimitBytes()).toBeLessThanOrEqual(totalmem());
  });

  // Version 1 keeps a hierarchy for memory; version 2 has one for all, where a process must not share a group with other groups.
  const hierarchies: [string, string, string][] = [
    ['1', '/sys/fs/cgroup/memory', 'memory.limit_in_bytes'],
    ['2', '/sys/fs/cgroup', 'memory.max'],
  ];
  it.each(hierarchies)("is the process's cgroup's, version %s", (version, root, limitFile) => {
    const group = join(root, `loopprof-test-${process.pid}`);
    try {
      // Only to be had by root, and only where the kernel keeps this version.
      accessSync(join(root, 'cgroup.procs'));
      mkdirSync(group);
      writeFileSync(join(group, limitFile), String(300 * MB));
    } catch (error) {
      process.stderr.write(`skipped: cgroup version ${version}: ${(error as Error).message}\n`);
      if (existsSync(group)) rmdirSync(group);
      return;
    }
    try {
      const file = resolve(__dirname, '../../dist/monitor/memory-limit.js');
      const script = `echo $$ > "$0"/cgroup.procs && exec "$1" -p 'require("${file}").memoryLimitBytes()'`;
      const printed = execFileSync('sh', ['-c', script, group, process.execPath], { encoding: 'utf8' });
      expect(Number(printed)).toBe(300 * MB);
    } finally {
      rmdirSync(group);
    }
  });
});
