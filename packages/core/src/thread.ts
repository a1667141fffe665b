/** What a thread has one of, whoever uses it: the samplers, the counters, the stalls and the sidecar, wired together. */
import { channel } from 'node:diagnostics_channel';
import { isMainThread } from 'node:worker_threads';
import type { LabelSet } from './engine/engine.js';
import { ThreadClock } from './engine/thread-clock.js';
import { messageOf } from './errors.js';
import { watchExecve } from './execve-watch.js';
import { CaptureBudget } from './http/capture-budget.js';
import { MAPPING_FILE } from './mapping-file.js';
import { clockMs } from './monitor/clock.js';
import { Monitor, type MonitoredStall } from './monitor/monitor.js';
import { NO_REQUEST } from './monitor/route-names.js';
import type { RouteOwner } from './monitor/running-routes.js';
import { WallClock } from './monitor/wall-clock.js';
import type { Overhead, StallsReading } from './profiles/sources.js';
import { mainProcess } from './realm.js';
import { BlockTable } from './recorder/block-table.js';
import type { ContentionReading } from './recorder/contentions.js';
import { RecorderSession, type SessionOptions } from './recorder/session.js';
import { Stalls, type SeenStall, type Stall } from './recorder/stalls.js';
import { RouteLabels } from './route-labels.js';
import { SidecarThread } from './sidecar/sidecar-thread.js';
import { Sidecar } from './sidecar/sidecar.js';

const stallChannel = channel('loopprof:stall');

/** A stall is known in full within that time after its end. */
const STALL_HARVEST_MS = 1000;

/** Once a second. */
const BEATS_PER_CHECK = 50;

/** What the first profiler of a thread decides for all. */
export interface ThreadOptions extends SessionOptions {
  maxSeries: number;
  serverTiming: boolean;
  stallThresholdMs: number;
  /** 0: stalls are in no profile. */
  blockProfileRate: number;
  sidecar: boolean;
  trimPaths: boolean;
}

/** Says what happens on the thread. */
export interface Reporter {
  /** Something has failed that nobody waits for. */
  report(level: 'warn' | 'error', message: string, error?: Error): void;
}

export interface Thread {
  readonly options: Readonly<ThreadOptions>;
  readonly session: RecorderSession;
  readonly monitor: Monitor;
  readonly stalls: Stalls;
  /** What captures may cost, whoever serves them. */
  readonly budget: CaptureBudget;
  /** Told of every stall, when all is known of it. */
  readonly stallListeners: Set<(stall: Stall) => void>;
  /** Takes up what was sampled until now, and tells what is known of the stalls. */
  readStalls(): StallsReading;
  /** The same for their time by stack. */
  readBlocks(): ContentionReading;
  /** Undefined where there is none. */
  readonly sidecar: Sidecar | undefined;
  /** Why there is none, though it was wanted. */
  readonly sidecarMissing: string | undefined;
  /** The profilers that can log what happens on the thread; the first of them does. */
  readonly reporters: Set<Reporter>;
  overhead(): Overhead;
  stop(): Promise<void>;
}

export function startThread(options: ThreadOptions): Thread {
  const session = new RecorderSession(options);
  const stallListeners = new Set<(stall: Stall) => void>();
  const reporters = new Set<Reporter>();
  const report: Reporter['report'] = (...what) => [...reporters][0]?.report(...what);
  session.onFailure = (error) => report('error', error.message, error);
  const budget = new CaptureBudget();
  const missing = options.sidecar ? sidecarMissing() : undefined;
  const sidecar =
    options.sidecar && missing === undefined
      ? new Sidecar({
          session,
          stalls: () => readStalls(),
          blocks: () => readBlocks(),
          sampleIntervalMicros: options.cpuSampleIntervalMicros,
          windowMs: options.windowMs,
          mappingFile: MAPPING_FILE,
          trimTo: trimFolder(options),
          budgetMemory: budget.memory,
          onTrouble: (message) => report('warn', message),
        })
      : undefined;
  if (sidecar) session.undisturbed = (work) => sidecar.undisturbed(work);
  const labels = new RouteLabels({ session, sidecar }, options.maxSeries);
  const clock = new ThreadClock();
  const blocks = new BlockTable(options.blockProfileRate);
  const stalls = new Stalls({
    stallThresholdMs: options.stallThresholdMs,
    gcMs: (fromMicros, toMicros) => {
      const { intervals } = monitor.gc;
      return intervals.coveredMs(toMonotonic(fromMicros), toMonotonic(toMicros), intervals.totalMs);
    },
    onStall: (stall) => {
      blocks.add(stall);
      for (const listener of stallListeners) listener(stall);
      if (stallChannel.hasSubscribers) stallChannel.publish(stall);
    },
  });
  const settleStalls = (): void => stalls.settle(chunksOf(session));
  let beats = 0;
  let monitorFailed = false;
  const monitor = new Monitor({
    ...options,
    labels,
    threadTimes: () => clock.read(),
    ...(sidecar
      ? {
          stoppedMs: (durationMs) => sidecar.pulse.sidecarStoppedMs(durationMs),
          pausedWithin: (durationMs) => sidecar.pulse.pausedWithin(durationMs),
        }
      : {}),
    onStall: (stall) => {
      stalls.add(seenStall(stall));
      session.harvestWithin(STALL_HARVEST_MS);
    },
    onBacklog: (durationMs) => stalls.noteBacklog(durationMs),
    onFailure: (error) => {
      if (monitorFailed) return;
      monitorFailed = true;
      report(
        'error',
        `what requests and the event loop do is not told in full: ${messageOf(error)}`,
        asError(error),
      );
    },
    onBeat: () => {
      sidecar?.pulse.beat();
      if (stalls.pending) {
        stalls.beat();
        settleStalls();
      }
      if (++beats % BEATS_PER_CHECK === 0) sidecar?.thread.check();
    },
  });
  const readStalls = (): StallsReading => {
    if (!sidecar?.insideDoor) {
      if (monitor.waitsForLooks || stalls.pending) session.harvest();
      settleStalls();
    }
    const { count, totalMs, backlog, last } = stalls;
    const pending = stalls.pending || monitor.waitsForLooks;
    return { stallThresholdMs: options.stallThresholdMs, count, totalMs, backlog, stalls: last, pending };
  };
  const readBlocks = (): ContentionReading => {
    readStalls();
    return blocks.read();
  };
  session.onHarvest = ({ cpuNanos, looks, idleMs, ofMs, toMicros, chunk }) => {
    monitor.eventLoop.time.looked(idleMs, ofMs);
    sidecar?.sendChunk(chunk, session.recorder().startedMicros);
    for (const [set, nanos] of cpuNanos) {
      monitor.requests.chargeCpu(set?.['method'] ?? '', set?.['route'] ?? NO_REQUEST, nanos / 1e6);
    }
    monitor.takeLooks(
      looks.map(({ timeMicros, labels: set }) => ({ timeMs: toMonotonic(timeMicros), owner: ownerOf(set) })),
    );
    if (!sidecar?.insideDoor) monitor.settle(toMonotonic(toMicros));
  };
  session.onTurn = () => monitor.eventLoop.mark(clockMs());
  clock.open();
  monitor.start();
  const startProblem = startSidecar(sidecar);
  const unwatchExecve = watchExecve({
    // A sampling signal that is on its way would end the program that comes next.
    onExecve: () => {
      session.pause();
      sidecar?.thread.park();
    },
    onFailed: () => {
      sidecar?.thread.unpark();
      session.resume();
    },
  });
  const startedMs = performance.now();
  return {
    options,
    session,
    monitor,
    stalls,
    budget,
    stallListeners,
    reporters,
    sidecar: startProblem === undefined ? sidecar : undefined,
    sidecarMissing: missing ?? startProblem,
    readStalls,
    readBlocks,
    overhead: () => {
      const { harvests, harvestMs } = spentBy(session);
      const loopShare = harvestMs / (performance.now() - startedMs);
      return { harvests, harvestMs, loopShare, sidecarActiveMs: sidecar?.thread.activeMs };
    },
    stop: async () => {
      unwatchExecve();
      monitor.stop();
      session.stop();
      clock.close();
      await sidecar?.thread.stop();
    },
  };
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(messageOf(error));
}

function sidecarMissing(): string | undefined {
  // From a worker of a worker the door would lead to the wrong thread, and ports are not shared.
  if (!isMainThread)
    return 'this is a worker thread of the app: nobody answers while its event loop is blocked';
  return SidecarThread.unavailable;
}

/** Gives why it did not start, if so: a permission is missing, or threads have run out. */
function startSidecar(sidecar: Sidecar | undefined): string | undefined {
  try {
    sidecar?.thread.start();
    return undefined;
  } catch (error) {
    return `its thread did not start: ${messageOf(error)}`;
  }
}

function spentBy(session: RecorderSession): { harvests: number; harvestMs: number } {
  try {
    return session.recorder().spent;
  } catch {
    return { harvests: 0, harvestMs: 0 };
  }
}

/** Where paths are to be made relative to. */
export function trimFolder({ trimPaths }: Pick<ThreadOptions, 'trimPaths'>): string | undefined {
  return trimPaths ? mainProcess.cwd() : undefined;
}

function chunksOf(session: RecorderSession): ReturnType<RecorderSession['recorder']>['chunks'] | undefined {
  try {
    return session.recorder().chunks;
  } catch {
    return undefined;
  }
}

const wallClock = new WallClock();

function toMonotonic(epochMicros: number): number {
  return epochMicros / 1000 - wallClock.offsetMs;
}

/** In the clock of the samples. */
function seenStall({ startMs, endMs, given, ...rest }: MonitoredStall): SeenStall {
  const toEpochMs = wallClock.offsetMs;
  return {
    ...rest,
    startedMicros: (startMs + toEpochMs) * 1000,
    endedMicros: (endMs + toEpochMs) * 1000,
    cpuMs: given?.cpuMs,
    runDelayMs: given?.runDelayMs,
  };
}

/** The label sets of requests name the route; those that are made without one belong to no request. */
function ownerOf(labels: LabelSet | undefined): RouteOwner | undefined {
  return labels?.['route'] === undefined ? undefined : (labels as LabelSet & RouteOwner);
}
