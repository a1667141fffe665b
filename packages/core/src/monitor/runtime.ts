import { availableParallelism } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import type { EventLoopReport, Monitor } from './monitor.js';

/** The process in numbers; sizes in bytes. Names are those of Go's runtime metrics where there is one. */
export interface RuntimeMetrics {
  /** Pending asynchronous operations. */
  readonly goroutines: number;
  readonly cpus: number;
  /** Bytes of live and not yet collected objects on V8's heap. */
  readonly alloc: number;
  /** Bytes allocated on V8's heap since the process began, garbage included; where V8 counts them (Node 26). */
  readonly totalAlloc?: number;
  /** Resident memory of the process. */
  readonly sys: number;
  readonly heapTotal: number;
  /** Memory off V8's heap that it knows of, Buffers included. */
  readonly external: number;
  readonly numGC: number;
  /** Share of the time since the profiler started that the thread spent collecting garbage. */
  readonly gcCPUFraction: number;
  readonly gcPauseTotalMs: number;
  /** Of the last ten seconds, 0 to 1; by the samples where there are any, as of their last harvest, which is at most some seconds ago. */
  readonly eventLoopUtilization: number;
  /** How late timers are, without the time they are set to. */
  readonly eventLoopDelay: {
    readonly mean: number;
    readonly p50: number;
    readonly p99: number;
    readonly max: number;
  };
  readonly uptimeMs: number;
}

export function runtimeMetrics(monitor: Monitor): RuntimeMetrics {
  const { heapUsed, heapTotal, external, rss } = process.memoryUsage();
  const { count, sumMs, forMs } = monitor.gcReport();
  const { meanMs, p50Ms, p99Ms, maxMs } = monitor.eventLoop.delay;
  return {
    goroutines: process.getActiveResourcesInfo().length,
    cpus: availableParallelism(),
    alloc: heapUsed,
    ...totalAllocated(),
    sys: rss,
    heapTotal,
    external,
    numGC: count,
    gcCPUFraction: forMs > 0 ? sumMs / forMs : 0,
    gcPauseTotalMs: sumMs,
    eventLoopUtilization: monitor.eventLoop.utilization,
    eventLoopDelay: { mean: meanMs, p50: p50Ms, p99: p99Ms, max: maxMs },
    uptimeMs: process.uptime() * 1000,
  };
}

function totalAllocated(): { totalAlloc?: number } {
  const { total_allocated_bytes: totalAlloc } = getHeapStatistics() as { total_allocated_bytes?: number };
  return totalAlloc === undefined ? {} : { totalAlloc };
}

/** What `/runtime` serves: the metrics, and what blocked the loop. */
export function runtimeReport(monitor: Monitor): RuntimeMetrics & { readonly eventLoop: EventLoopReport } {
  return { ...runtimeMetrics(monitor), eventLoop: monitor.eventLoopReport() };
}
