import type { Frame } from './frames.js';
import type { OperationKind } from './operation-kinds.js';

/** What leaked at one place, for one route. */
export interface Leak {
  readonly kind: OperationKind;
  /** Where it was created, leaf first. */
  readonly frames: readonly Frame[];
  readonly route: string | undefined;
  readonly count: number;
}

/** Scrapers and stores take profiles of up to 16 000 samples. */
const MAX_ROWS = 5000;

interface Row {
  readonly kind: OperationKind;
  readonly stack: number;
  readonly route: string | undefined;
  count: number;
}

/** LeakTable adds up what leaked by place, since its creation; places beyond a bound are counted as dropped. */
export class LeakTable {
  readonly #rows = new Map<string, Row>();
  #dropped = 0;

  get dropped(): number {
    return this.#dropped;
  }

  add({ kind, stack, route, weight }: Omit<Row, 'count'> & { readonly weight: number }): void {
    const key = `${stack} ${kind} ${route ?? ''}`;
    let row = this.#rows.get(key);
    if (!row) {
      if (this.#rows.size >= MAX_ROWS) {
        this.#dropped += weight;
        return;
      }
      this.#rows.set(key, (row = { kind, stack, route, count: 0 }));
    }
    row.count += weight;
  }

  read(framesOf: (stack: number) => readonly Frame[]): Leak[] {
    return [...this.#rows.values()].map(({ kind, stack, route, count }) => ({
      kind,
      frames: framesOf(stack),
      route,
      count,
    }));
  }
}
