/** Turns tells one turn of the event loop from the next. */
export class Turns {
  #turn: object | undefined;
  #idleMs = 0;

  /** Stands for the current turn; another one once it is over. */
  current(): object {
    // The loop may wait before it comes to an immediate that does not keep it alive, and what it waited for is seen first.
    const { idleTime } = performance.nodeTiming;
    if (!this.#turn || idleTime !== this.#idleMs) {
      const turn = {};
      this.#turn = turn;
      this.#idleMs = idleTime;
      setImmediate(() => {
        if (this.#turn === turn) this.#turn = undefined;
      }).unref();
    }
    return this.#turn;
  }
}
