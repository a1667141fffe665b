const LINES = 10;

const PER_MS = 60_000;

/** Keeps something that happens again and again from filling a log. */
export class LineBudget {
  #linesAtMs: number[] = [];
  #leftOut = 0;

  /** Gives how many lines were left out before this one; undefined when this one has to be left out too. */
  spend(): number | undefined {
    const now = performance.now();
    this.#linesAtMs = this.#linesAtMs.filter((atMs) => atMs > now - PER_MS);
    if (this.#linesAtMs.length >= LINES) {
      this.#leftOut += 1;
      return undefined;
    }
    this.#linesAtMs.push(now);
    const leftOut = this.#leftOut;
    this.#leftOut = 0;
    return leftOut;
  }
}
