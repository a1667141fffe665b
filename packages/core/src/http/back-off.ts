/** One address may guess this often before it has to wait. */
const FREE_FAILURES = 10;

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 60_000;

/** An address that has failed is forgotten after this time without another failure. */
const MEMORY_MS = 600_000;

/** Past this many addresses the one that was added first is forgotten. */
const MAX_ADDRESSES = 10_000;

interface Failures {
  count: number;
  lastMs: number;
  blockedUntilMs: number;
}

/** BackOff makes wrong guesses wait: after ten failures an address waits 1 s, then twice as long each time, up to a minute. */
export class BackOff {
  readonly #failures = new Map<string, Failures>();

  /** Milliseconds that this address still has to wait; 0 when it need not. */
  waitMs(address: string | undefined): number {
    const failures = this.#failures.get(groupOf(address));
    return failures ? Math.max(0, failures.blockedUntilMs - performance.now()) : 0;
  }

  noteFailure(address: string | undefined): void {
    const now = performance.now();
    const group = groupOf(address);
    let failures = this.#failures.get(group);
    if (!failures || now - failures.lastMs > MEMORY_MS) {
      this.#failures.delete(group);
      failures = { count: 0, lastMs: now, blockedUntilMs: 0 };
      this.#failures.set(group, failures);
      if (this.#failures.size > MAX_ADDRESSES) {
        this.#failures.delete(this.#failures.keys().next().value as string);
      }
    }
    failures.count += 1;
    failures.lastMs = now;
    const excess = failures.count - FREE_FAILURES;
    if (excess >= 0) {
      failures.blockedUntilMs = now + Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(excess, 16));
    }
  }
}

/** Whoever has one IPv6 address has a whole /64 of them. */
function groupOf(address: string | undefined): string {
  if (address === undefined) return '';
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const missing = 8 - groups.length - (tail === '' ? 0 : tail.split(':').length);
    groups.push(...Array<string>(Math.max(0, missing)).fill('0'), ...(tail === '' ? [] : tail.split(':')));
  }
  return groups.slice(0, 4).join(':');
}
