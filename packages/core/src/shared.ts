/**
 * One recorder and one set of counters per thread, however many profilers, copies of this package and realms there are: V8 has
 * one CPU profiler and one heap sampler to share, and a request is counted once. They are kept behind a symbol on the main
 * realm's global object, with a count of their holders.
 */
import { inForeignRealm, mainGlobal, mainRealmRequire } from './realm.js';
import type * as threadModule from './thread.js';
import { startThread, type Thread, type ThreadOptions } from './thread.js';

/** Changes when the shape of what is shared does: copies that cannot understand each other do not share. */
const SHARED = Symbol.for('loopprof.thread.v1');

interface Shared {
  readonly thread: Thread;
  holders: number;
}

/** A share in what the thread has one of. */
export interface ThreadLease {
  readonly thread: Thread;
  /** Whether this lease was the first, and with it decided the options. */
  readonly first: boolean;
  /** Gives the share back; the last one stops everything. May be called again without effect. */
  release(): Promise<void>;
}

export function leaseThread(options: ThreadOptions): ThreadLease {
  const running = mainGlobal[SHARED] as Shared | undefined;
  const shared = running ?? { thread: load().startThread(options), holders: 0 };
  mainGlobal[SHARED] = shared;
  shared.holders += 1;
  let released = false;
  return {
    thread: shared.thread,
    first: running === undefined,
    release: async () => {
      if (released) return;
      released = true;
      shared.holders -= 1;
      if (shared.holders > 0) return;
      if (mainGlobal[SHARED] === shared) delete mainGlobal[SHARED];
      await shared.thread.stop();
    },
  };
}

/**
 * What is shared outlives the realm that starts it (Jest tears a test file's realm down, globals and all), so from a foreign
 * realm its modules are loaded a second time, by the main realm.
 */
function load(): Pick<typeof threadModule, 'startThread'> {
  if (inForeignRealm) {
    try {
      return mainRealmRequire(__filename)('./thread.js') as typeof threadModule;
    } catch (error) {
      // Bundled or compiled in memory: there are no such files, and this realm's copies must do.
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  return { startThread };
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
  return shared ? shared.thread.session.withLabels(labels, callback) : callback();
}

/**
 * measureWait counts how long code waits for something that others hold: a lock, a connection of a pool. `acquire` is called at
 * once; what it gives is returned (of a plain promise, one that settles alike), and the time until it settles goes into the mutex
 * profile, under the caller's stack and the labels `resource` and `route`. What comes without a turn of the event loop in between
 * has not been waited for and is not counted; nor is what `acquire` gives within a millisecond without a promise.
 *
 * One wait in `mutexProfileFraction` is measured; while no profiler runs, `acquire` is all that happens.
 *
 * @param resource What is waited for, such as `pg-pool`: one of few names, since at most 10 000 are kept apart.
 * @example
 * ```ts
 * const client = await measureWait('pg-pool', () => pool.connect());
 * // go tool pprof -tagfocus=resource=pg-pool http://localhost:6060/debug/pprof/mutex
 * ```
 */
export function measureWait<T>(resource: string, acquire: () => T): T {
  const shared = mainGlobal[SHARED] as Shared | undefined;
  if (!shared) return acquire();
  return shared.thread.session.waits.measure(acquire, { resource, callee: measureWait });
}
