/**
 * One recorder and one set of counters per thread, however many profilers, copies of this package and realms there are: V8 has
 * one CPU profiler and one heap sampler to share, and a request is counted once. They are kept behind a symbol on the main
 * realm's global object, with a count of their holders.
 */
import type * as requestsModule from './monitor/requests.js';
import { RequestMonitor } from './monitor/requests.js';
import { inForeignRealm, mainGlobal, mainRealmRequire } from './realm.js';
import type * as sessionModule from './recorder/session.js';
import { RecorderSession, type SessionOptions } from './recorder/session.js';

/** Changes when the shape of what is shared does: copies that cannot understand each other do not share. */
const SHARED = Symbol.for('loopprof.thread.v1');

/** What the first profiler of a thread decides for all. */
export interface ThreadOptions extends SessionOptions {
  maxSeries: number;
}

interface Shared {
  readonly options: Readonly<ThreadOptions>;
  readonly session: RecorderSession;
  readonly requests: RequestMonitor;
  holders: number;
}

/** A share in what the thread has one of. */
export interface ThreadLease {
  readonly options: Readonly<ThreadOptions>;
  readonly session: RecorderSession;
  readonly requests: RequestMonitor;
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
    requests: shared.requests,
    first: running === undefined,
    release: () => {
      if (released) return;
      released = true;
      shared.holders -= 1;
      if (shared.holders > 0) return;
      if (mainGlobal[SHARED] === shared) delete mainGlobal[SHARED];
      shared.session.stop();
    },
  };
}

/**
 * What is shared outlives the realm that starts it (Jest tears a test file's realm down, globals and all), so from a foreign
 * realm its modules are loaded a second time, by the main realm.
 */
function createShared(options: ThreadOptions): Shared {
  const { session, requests } = modules();
  return {
    options,
    session: new session.RecorderSession(options),
    requests: new requests.RequestMonitor(options),
    holders: 0,
  };
}

interface Modules {
  session: Pick<typeof sessionModule, 'RecorderSession'>;
  requests: Pick<typeof requestsModule, 'RequestMonitor'>;
}

function modules(): Modules {
  if (inForeignRealm) {
    try {
      const require = mainRealmRequire(__filename);
      return {
        session: require('./recorder/session.js') as typeof sessionModule,
        requests: require('./monitor/requests.js') as typeof requestsModule,
      };
    } catch (error) {
      // Bundled or compiled in memory: there are no such files, and this realm's copies must do.
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  return { session: { RecorderSession }, requests: { RequestMonitor } };
}
