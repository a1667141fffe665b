import { setTimeout as sleep } from 'node:timers/promises';
import { isLoopprofError } from '../errors.js';
import { SampleStore, type SampleSource, type SampleWindow } from '../recorder/sample-store.js';
import { loopBlocked, type Line } from './line.js';
import type { MainThread } from './main-thread.js';
import type { Receiver, SentChunk } from './transfer.js';

/** How long after the end of a window its last samples may take to get here. */
const HARVEST_DEADLINE_MS = 1500;

const RETAIN_DEADLINE_MS = 250;

/** The sidecar's copy of the samples: it has them also while the main thread answers nobody. */
export class RemoteSamples implements SampleSource {
  readonly #store: SampleStore;
  readonly #line: Line;
  readonly #main: MainThread;
  readonly #receiver: Receiver;

  constructor(
    { line, main, receiver }: { line: Line; main: MainThread; receiver: Receiver },
    options: { sampleIntervalMicros: number; windowMs: number },
  ) {
    this.#line = line;
    this.#main = main;
    this.#receiver = receiver;
    this.#store = new SampleStore({ ...options, harvest: (signal) => this.#harvest(signal) });
  }

  add({ startedMicros, chunk }: { startedMicros: number; chunk: SentChunk }): void {
    if (startedMicros !== this.#store.startedMicros) this.#store.begin(startedMicros);
    this.#store.add(this.#receiver.chunk(chunk));
  }

  async window(fromMicros: number, toMicros: number, signal?: AbortSignal): Promise<SampleWindow> {
    await this.#retainLabels();
    try {
      return await this.#store.window(fromMicros, toMicros, signal);
    } finally {
      this.#line.tell('releaseLabels', undefined);
    }
  }

  /** Rejects with the reason when nothing is sampled; a main thread that lets nobody in may get round to it later. */
  async #retainLabels(): Promise<void> {
    try {
      // Whatever becomes of whoever reads, the main thread retains what it has been asked to, and must be told to release.
      await this.#main.ask('retainLabels', undefined, { deadlineMs: RETAIN_DEADLINE_MS });
    } catch (error) {
      if (!isLoopprofError(error) || error.code !== 'LOOPPROF_LOOP_BLOCKED') throw error;
    }
  }

  /** Has everything sampled up to now sent here. */
  async #harvest(signal: AbortSignal | undefined): Promise<void> {
    const askedMicros = Date.now() * 1000;
    const untilMs = performance.now() + HARVEST_DEADLINE_MS;
    for (;;) {
      const deadlineMs = Math.max(1, Math.ceil(untilMs - performance.now()));
      await this.#main.ask('harvest', undefined, { deadlineMs, signal });
      if (this.#store.harvestedMicros >= askedMicros) return;
      // It came while another harvest was going on, whose samples are on their way.
      if (performance.now() >= untilMs) throw loopBlocked();
      await sleep(5);
    }
  }
}
