/** reportMetrics(): each number against a source that is not ours. */
import type { RuntimeMetrics } from '@loopprof/core';
import { runToEnd } from '../support/child.js';

interface Told {
  cpus: number;
  idleBefore: Pick<Memory, 'uptimeMs'>;
  idle: RuntimeMetrics;
  idleAfter: Pick<Memory, 'uptimeMs'>;
  busy: RuntimeMetrics;
  memory: Record<'before' | 'after', Memory> & { metrics: RuntimeMetrics };
  gc: { metrics: RuntimeMetrics; count: number; ms: number; forMs: number };
  loop: { metrics: RuntimeMetrics; blockedMs: number };
}

type Memory = Record<'alloc' | 'heapTotal' | 'external' | 'sys' | 'uptimeMs', number>;

let told: Told;

beforeAll(async () => {
  const { code, stdout, stderr } = await runToEnd('metrics.cjs');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  told = JSON.parse(stdout) as Told;
});

it.each(['alloc', 'heapTotal', 'external', 'sys'] as const)(
  '%s lies between what V8 or /proc say before and after',
  (field) => {
    const { before, metrics, after } = told.memory;
    const [low, high] = [before[field], after[field]].sort((a, b) => a - b) as [number, number];
    // /proc counts pages in batches.
    expect(metrics[field] / low).toBeGreaterThan(0.97);
    expect(metrics[field] / high).toBeLessThan(1.03);
  },
);

it('uptimeMs goes as fast as the clock in /proc', () => {
  const { idleBefore, idle, idleAfter, memory } = told;
  const elapsedMs = memory.metrics.uptimeMs - idle.uptimeMs;
  // It counts in ticks of 10 ms.
  expect(elapsedMs).toBeGreaterThanOrEqual(memory.before.uptimeMs - idleAfter.uptimeMs - 20);
  expect(elapsedMs).toBeLessThanOrEqual(memory.after.uptimeMs - idleBefore.uptimeMs + 20);
  expect(memory.metrics.uptimeMs).toBeLessThan(memory.after.uptimeMs + 20);
});

it('external has the Buffers in it', () => {
  expect(told.memory.metrics.external).toBeGreaterThan(32 * 2 ** 20);
});

it('cpus are those the process may run on', () => {
  expect(told.idle.cpus).toBe(told.cpus);
});

it('goroutines are the pending operations: 50 timers and 7 servers are 57 more', () => {
  expect(told.busy.goroutines - told.idle.goroutines).toBe(57);
});

it('numGC and gcPauseTotalMs have every collection that a PerformanceObserver sees', () => {
  const { metrics, count, ms } = told.gc;
  expect(count).toBeGreaterThan(10);
  expect(metrics.numGC).toBe(count);
  expect(metrics.gcPauseTotalMs).toBeCloseTo(ms, 6);
});

it('gcCPUFraction is their share of the time since the start', () => {
  const { metrics, ms, forMs } = told.gc;
  const ratio = metrics.gcCPUFraction / (ms / forMs);
  expect(ratio).toBeGreaterThan(0.9);
  expect(ratio).toBeLessThan(1.1);
});

it('eventLoopDelay has the longest block as its maximum, and no timer resolution in it', () => {
  const { metrics, blockedMs } = told.loop;
  // The heartbeat's timer was due up to 20 ms after the block began.
  expect(metrics.eventLoopDelay.max).toBeGreaterThan(blockedMs - 25);
  expect(metrics.eventLoopDelay.max).toBeGreaterThanOrEqual(metrics.eventLoopDelay.p99);
  expect(metrics.eventLoopDelay.p99).toBeGreaterThanOrEqual(metrics.eventLoopDelay.p50);
  // What `monitorEventLoopDelay` calls the delay of an idle loop is its 10 ms of resolution.
  expect(told.idle.eventLoopDelay.p50).toBeLessThan(9);
});

it('totalAlloc, where V8 counts it, has all the garbage in it', () => {
  const { totalAlloc } = told.memory.metrics;
  const counts = Number(process.versions.node.split('.')[0]) >= 26;
  expect(totalAlloc === undefined).toBe(!counts);
  // Three million times an array and an object, of at least 16 bytes each.
  if (counts) expect((totalAlloc ?? 0) - (told.idle.totalAlloc ?? 0)).toBeGreaterThan(3_000_000 * 32);
});
