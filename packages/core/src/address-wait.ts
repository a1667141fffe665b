const EVERY_MS = 5000;

/** AddressWait tries to listen where another process does, until that has gone: in a rolling restart it soon will have. */
export class AddressWait {
  #timer: NodeJS.Timeout | undefined;

  /** Calls `listen` every 5 s, until it resolves or `end()` is called. */
  begin(listen: () => Promise<void>): void {
    clearTimeout(this.#timer);
    const timer = setTimeout(() => {
      listen().catch(() => {
        if (this.#timer === timer) this.begin(listen);
      });
    }, EVERY_MS);
    timer.unref();
    this.#timer = timer;
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
