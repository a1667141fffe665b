/**
 * For how long the event loop has run callbacks, and for how long it has waited for something to do; both grow, but for what looks that
 * come late correct.
 */
export interface LoopTimes {
  readonly activeMs: number;
  readonly idleMs: number;
}

/** Looks come with the harvests, which are no further apart than some seconds; without any for so long, nobody looks. */
const UNSEEN_MS = 8000;

/**
 * LoopTime tells how the event loop divides its time. Node knows, but not while the process is sampled: a signal that wakes a waiting
 * loop makes libuv forget how long that has waited so far, so that an idle process seems to be busy for half of the time. Then the
 * samples themselves tell, as they come in.
 */
export class LoopTime {
  #told: LoopTimes = readLoop();
  /** What Node said then. */
  #atTold = this.#told;
  #toldAtMs = -Infinity;

  /** Looks at the thread have found it waiting for so much of a time that follows the one before. */
  looked(idleMs: number, ofMs: number): void {
    const nowMs = performance.now();
    // After a time that these looks are not of, Node has told of all of it.
    if (this.#toldAtMs > -Infinity && !this.#isSeen(nowMs - ofMs)) this.#told = this.read();
    else {
      const { activeMs, idleMs: beforeMs } = this.#told;
      this.#told = { activeMs: activeMs + Math.max(0, ofMs - idleMs), idleMs: beforeMs + idleMs };
    }
    this.#atTold = readLoop();
    this.#toldAtMs = nowMs;
  }

  /** As of the last looks; as of now where there are none. */
  read(): LoopTimes {
    if (this.#isSeen(performance.now())) return this.#told;
    const { activeMs, idleMs } = readLoop();
    return {
      activeMs: this.#told.activeMs + activeMs - this.#atTold.activeMs,
      idleMs: this.#told.idleMs + idleMs - this.#atTold.idleMs,
    };
  }

  #isSeen(nowMs: number): boolean {
    return nowMs - this.#toldAtMs < UNSEEN_MS;
  }
}

function readLoop(): LoopTimes {
  const { active, idle } = performance.eventLoopUtilization();
  return { activeMs: active, idleMs: idle };
}
