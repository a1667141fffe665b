import { readFileSync } from 'node:fs';

/** Of the kernel's clock ticks, which are of 10 ms wherever /proc tells of them. */
const TICK_MS = 10;
const READ_EVERY_MS = 50;

/** What the machine below a virtual one takes of its cores, by the kernel's count. No thread's own figures show it. */
export class StolenTime {
  readonly #readings: { readonly atMs: number; readonly totalMs: number }[] = [];
  readonly #timer = setInterval(() => this.#read(), READ_EVERY_MS);

  constructor() {
    this.#read();
  }

  /** How much was taken of all cores together, between two readings of `Date.now()`. */
  between(fromMs: number, toMs: number): number {
    this.#read();
    const first = this.#readings.findLast(({ atMs }) => atMs <= fromMs) ?? this.#readings[0];
    const last = this.#readings.find(({ atMs }) => atMs >= toMs) ?? this.#readings.at(-1);
    return (last?.totalMs ?? 0) - (first?.totalMs ?? 0);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #read(): void {
    this.#readings.push({ atMs: Date.now(), totalMs: stolenTicks() * TICK_MS });
  }
}

/** The eighth number of the first line. 0 where the system does not tell. */
function stolenTicks(): number {
  try {
    return Number(readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]?.trim().split(/\s+/)[8] ?? 0);
  } catch {
    return 0;
  }
}
