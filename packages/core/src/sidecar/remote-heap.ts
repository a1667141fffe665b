import type { AllocationReading, HeapReading, HeapSource } from '../recorder/heap-recorder.js';
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
    const sent = await this.#main.ask('heap', { gc }, { deadlineMs });
    const { stacks, objects, sizesBytes, allocObjects, allocBytes, ...rest } = sent;
    const frames = this.#receiver.stacks(stacks);
    return {
      ...rest,
      stacks: frames.map((each, index) => ({
        frames: each,
        objects: objects[index] ?? 0,
        sizeBytes: sizesBytes[index] ?? 0,
        allocObjects: allocObjects[index] ?? 0,
        allocBytes: allocBytes[index] ?? 0,
      })),
    };
  }

  async countAllocations(durationMs: number, signal?: AbortSignal): Promise<AllocationReading> {
    const deadlineMs = durationMs + HEAP_DEADLINE_MS;
    const options = { deadlineMs, signal, inTurns: true };
    const sent = await this.#main.ask('allocations', { durationMs }, options);
    const { stacks, objects, sizesBytes, ...rest } = sent;
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
