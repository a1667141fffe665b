/**
 * One recorder and one set of counters per thread, however many profilers, copies of this package and realms there are: V8 has
 * one CPU profiler and one heap sampler to share, and a request is counted once. They are kept behind a symbol on the main
 * realm's global object, with a count of their holders.
 */
import type * as monitorModule from './monitor/monitor.js';
import type { LabelSet } from './engine/engine.js';
import { Monitor } from './monitor/monitor.js';
import { NO_REQUEST, type RequestLabels } from './monitor/requests.js';
import type { RouteOwner } from './monitor/running-routes.js';
import { OTHER_METHOD, OTHER_ROUTE } from './monitor/series.js';
import { inForeignRealm, mainGlobal, mainRealmRequire } from './realm.js';
import type * as sessionModule from './recorder/session.js';
import { RecorderSession, type SessionOptions } from './recorder/session.js';

/** Changes when the shape of what is shared does: copies that cannot understand each other do not share. */
const SHARED = Symbol.for('loopprof.thread.v1');

/** What the first profiler of a thread decides for all. */
export interface ThreadOptions extends SessionOptions {
  maxSeries: number;
  serverTiming: boolean;
}

interface Shared {
  readonly options: Readonly<ThreadOptions>;
  readonly session: RecorderSession;
  readonly monitor: Monitor;
  holders: number;
}

/** A share in what the thread has one of. */
export interface ThreadLease {
  readonly options: Readonly<ThreadOptions>;
  readonly session: RecorderSession;
  readonly monitor: Monitor;
  /** Whether this lease was the first, and with it decided the options. */
  readonly first: boolean;
  /** Gives the share back; the last one stops the recorder. May be called again without effect. */
  release(): void;
}

export function leaseThread(options: ThreadOptions): ThreadLease {
  const running = mainGlobal[SHARED] as Shared | undefined;
  const shared = running ?? createShared(options);
  mainGlobal[SHARED] = shared;
  shared.holders += 1;
  let released = false;
  return {
    options: shared.options,
    session: shared.session,
    monitor: shared.monitor,
    first: running === undefined,
    release: () => {
      if (released) return;
      released = true;
      shared.holders -= 1;
      if (shared.holders > 0) return;
      if (mainGlobal[SHARED] === shared) delete mainGlobal[SHARED];
      shared.monitor.stop();
      shared.session.stop();
    },
  };
}

/**
 * What is shared outlives the realm that starts it (Jest tears a test file's realm down, globals and all), so from a foreign
 * realm its modules are loaded a second time, by the main realm.
 */
function createShared(options: ThreadOptions): Shared {
  const modules = loadModules();
  const session = new modules.session.RecorderSession(options);
  const labels = requestLabels(session, options.maxSeries);
  const monitor = new modules.monitor.Monitor({ ...options, labels });
  session.onHarvest = ({ cpuNanos, looks, toMicros }) => {
    for (const [set, nanos] of cpuNanos) {
      monitor.requests.chargeCpu(set?.['method'] ?? '', set?.['route'] ?? NO_REQUEST, nanos / 1e6);
    }
    const toMonotonicMs = performance.now() - Date.now();
    const monotonic = (micros: number): number => micros / 1000 + toMonotonicMs;
    monitor.settle(
      looks.map(({ timeMicros, labels: set }) => ({ timeMs: monotonic(timeMicros), owner: ownerOf(set) })),
      monotonic(toMicros),
    );
  };
  monitor.start();
  return { options, session, monitor, holders: 0 };
}

/** The label sets of requests name the route; those that are made without one belong to no request. */
function ownerOf(labels: LabelSet | undefined): RouteOwner | undefined {
  return labels?.['route'] === undefined ? undefined : (labels as LabelSet & RouteOwner);
}

/** One label set per method and route, so that nothing is made per request. */
function requestLabels(session: RecorderSession, maxSets: number): RequestLabels {
  const sets = new Map<string, Map<string, LabelSet>>();
  let size = 0;
  const labelsOf = (method: string, route: string): LabelSet => {
    let routes = sets.get(method);
    if (!routes) sets.set(method, (routes = new Map<string, LabelSet>()));
    let labels = routes.get(route);
    if (!labels) {
      if (size >= maxSets && route !== OTHER_ROUTE) return labelsOf(OTHER_METHOD, OTHER_ROUTE);
      routes.set(route, (labels = { method, route }));
      size += 1;
    }
    return labels;
  };
  return {
    get always() {
      return session.alwaysLabelled;
    },
    enter: (method, route) => session.labels?.enter(labelsOf(method, route)),
  };
}

/**
 * withLabels runs `callback` with labels on every CPU sample taken inside, across `await`, timers and callbacks, on top of those
 * in force (`route` and `method` of the request): Go's `pprof.Do`. Gives what `callback` returns.
 *
 * Where labels cost something (before Node 24), they are on only while somebody captures, or with `labels: true`. At most
 * 10 000 distinct sets are kept; later ones label nothing, so do not use values without end, such as ids of users.
 *
 * @example
 * ```ts
 * await withLabels({ tenant: 'acme' }, () => renderInvoice(order));
 * // go tool pprof -tagfocus=tenant=acme …
 * ```
 */
export function withLabels<T>(labels: Readonly<Record<string, string>>, callback: () => T): T {
  const shared = mainGlobal[SHARED] as Shared | undefined;
  return shared ? shared.session.withLabels(labels, callback) : callback();
}

interface Modules {
  session: Pick<typeof sessionModule, 'RecorderSession'>;
  monitor: Pick<typeof monitorModule, 'Monitor'>;
}

function loadModules(): Modules {
  if (inForeignRealm) {
    try {
      const require = mainRealmRequire(__filename);
      return {
        session: require('./recorder/session.js') as typeof sessionModule,
        monitor: require('./monitor/monitor.js') as typeof monitorModule,
      };
    } catch (error) {
      // Bundled or compiled in memory: there are no such files, and this realm's copies must do.
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  return { session: { RecorderSession }, monitor: { Monitor } };
}
