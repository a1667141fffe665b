import { mainGlobal } from '../realm.js';
import { DRAIN } from './protocol.js';
import type { Pulse } from './pulse.js';

/** Door lets the sidecar in where it has interrupted the main thread: inside whatever callback blocks the event loop. */
export class Door {
  readonly #pulse: Pulse;
  readonly #drain: () => void;
  #undisturbedDepth = 0;
  #inside = false;
  /** Whether the sidecar has come while it could not be let in. */
  #knocked = false;

  /** @param drain Takes what the sidecar has asked. */
  constructor(pulse: Pulse, drain: () => void) {
    this.#pulse = pulse;
    this.#drain = drain;
  }

  open(): void {
    (mainGlobal as Record<symbol, unknown>)[Symbol.for(DRAIN)] = this.enter;
  }

  close(): void {
    delete (mainGlobal as Record<symbol, unknown>)[Symbol.for(DRAIN)];
  }

  /** Whether the sidecar is inside. */
  get inside(): boolean {
    return this.#inside;
  }

  /** The sidecar calls it. */
  readonly enter = (): void => {
    this.#pulse.enter();
    if (this.#inside) return;
    // What it has interrupted may be ourselves.
    this.#knocked = this.#undisturbedDepth > 0;
    if (this.#knocked) return;
    this.#inside = true;
    try {
      this.#drain();
    } finally {
      this.#inside = false;
    }
  };

  /** Lets nobody in during `work`; whoever came meanwhile gets in after it. */
  undisturbed<T>(work: () => T): T {
    this.#undisturbedDepth += 1;
    try {
      return work();
    } finally {
      this.#undisturbedDepth -= 1;
      if (this.#knocked && this.#undisturbedDepth === 0) this.enter();
    }
  }
}
