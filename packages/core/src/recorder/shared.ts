/**
 * One recorder per thread, however many profilers, copies of this package and realms there are: V8 has one CPU profiler and
 * one heap sampler to share. It is kept behind a symbol on the main realm's global object and counted.
 */
import { inForeignRealm, mainGlobal, mainRealmRequire } from '../realm.js';
import type * as sessionModule from './session.js';
import { RecorderSession, type SessionOptions } from './session.js';

/** Changes when the shape of what is shared does: copies that cannot understand each other do not share. */
const SHARED = Symbol.for('loopprof.recorder.v1');

interface Shared {
  readonly session: RecorderSession;
  holders: number;
}

/** A share in the thread's recorder. */
export interface RecorderLease {
  readonly session: RecorderSession;
  /** Whether this lease started the recorder, and with it decided the options. */
  readonly first: boolean;
  /** Gives the share back; the last one stops the recorder. May be called again without effect. */
  release(): void;
}

export function leaseRecorder(options: SessionOptions): RecorderLease {
  const running = mainGlobal[SHARED] as Shared | undefined;
  const shared = running ?? { session: createSession(options), holders: 0 };
  mainGlobal[SHARED] = shared;
  shared.holders += 1;
  let released = false;
  return {
    session: shared.session,
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
 * The recorder outlives the realm that starts it (Jest tears a test file's realm down, globals and all), so from a foreign
 * realm its module is loaded a second time, by the main realm.
 */
function createSession(options: SessionOptions): RecorderSession {
  if (inForeignRealm) {
    try {
      const main = mainRealmRequire(__filename)('./session.js') as typeof sessionModule;
      return new main.RecorderSession(options);
    } catch (error) {
      // Bundled or compiled in memory: there is no such file, and this realm's copy must do.
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  return new RecorderSession(options);
}
