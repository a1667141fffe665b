import { LoopprofError } from './errors.js';

/** Captures that end early when the profiler stops: a server that closes waits for their answers. */
export class RunningCaptures {
  readonly #stops = new Set<AbortController>();

  /** Rejects with LOOPPROF_NOT_STARTED when it is ended by {@link end}. */
  async run<T>(client: AbortSignal | undefined, capture: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const stop = new AbortController();
    const onClientGone = (): void => stop.abort();
    if (client?.aborted) onClientGone();
    client?.addEventListener('abort', onClientGone, { once: true });
    this.#stops.add(stop);
    try {
      return await capture(stop.signal);
    } catch (error) {
      if (!stop.signal.aborted || client?.aborted) throw error;
      throw stoppedMeanwhile();
    } finally {
      client?.removeEventListener('abort', onClientGone);
      this.#stops.delete(stop);
    }
  }

  end(): void {
    for (const stop of this.#stops) stop.abort();
  }
}

export function stoppedMeanwhile(): LoopprofError {
  return new LoopprofError(
    'LOOPPROF_NOT_STARTED',
    'The profiler was stopped while this profile was being taken.',
  );
}
