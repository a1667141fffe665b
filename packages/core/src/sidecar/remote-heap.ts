import type { HeapReading, HeapSource } from '../recorder/heap-recorder.js';
import type { MainThread } from './main-thread.js';
import type { Receiver } from './transfer.js';

/** A full collection of a large heap, and the reading after it, take their time. */
const HEAP_DEADLINE_MS = 10_000;

/** Without a collection a reading takes milliseconds. */
const READ_DEADLINE_MS = 2000;

/** The main thread's heap, as the sidecar reads it. */
export class RemoteHeap implements HeapSource {
  readonly #main: MainThread;
  readonly #receiver: Receiver;

  constructor({ main, receiver }: { main: MainThread; receiver: Receiver }) {
    this.#main = main;
    this.#receiver = receiver;
  }

  async read({ gc }: { gc: boolean }): Promise<HeapReading> {
    const deadlineMs = gc ? HEAP_DEADLINE_MS : READ_DEADLINE_MS;
    const { stacks, objects, sizesBytes, ...rest } = await this.#main.ask('heap', { gc }, { deadlineMs });
    const frames = this.#receiver.stacks(stacks);
    return {
      ...rest,
      stacks: frames.map((each, index) => ({
        frames: each,
        objects: objects[index] ?? 0,
        sizeBytes: sizesBytes[index] ?? 0,
      })),
    };
  }
}
