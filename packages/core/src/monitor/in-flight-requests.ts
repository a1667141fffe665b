import type { TrackedRequest } from './request-timing.js';

/** Requests whose response is not over. Each knows its place, so that none is looked for: it is the hottest path there is. */
export class InFlightRequests {
  readonly #requests: TrackedRequest[] = [];

  get size(): number {
    return this.#requests.length;
  }

  add(request: TrackedRequest): void {
    request.inFlightIndex = this.#requests.length;
    this.#requests.push(request);
  }

  /** Gives whether it was there. */
  delete(request: TrackedRequest): boolean {
    const index = request.inFlightIndex;
    if (index < 0) return false;
    const last = this.#requests.pop() as TrackedRequest;
    if (last !== request) {
      this.#requests[index] = last;
      last.inFlightIndex = index;
    }
    request.inFlightIndex = -1;
    return true;
  }

  oldestFirst(): TrackedRequest[] {
    return [...this.#requests].sort((a, b) => a.startedAtMs - b.startedAtMs);
  }
}
