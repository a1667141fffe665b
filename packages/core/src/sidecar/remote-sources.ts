/** What profiles are made from, on the sidecar's side. */
import { LoopprofError } from '../errors.js';
import type { BlockedState, Overhead, ProfileSources, StallsReading } from '../profiles/sources.js';
import type { ContentionReading } from '../recorder/contentions.js';
import type { Frame } from '../recorder/frames.js';
import type { RegisteredMap } from '../symbols/registered-maps.js';
import { MAX_MAP_BYTES_OFF_THREAD, Symbolizer } from '../symbols/symbolizer.js';
import type { Line } from './line.js';
import { MainThread } from './main-thread.js';
import type { SentLabels, SentStalls, SidecarData } from './protocol.js';
import type { Pulse } from './pulse.js';
import { RemoteHeap } from './remote-heap.js';
import { RemoteSamples } from './remote-samples.js';
import { Receiver, type SentChunk, type SentNames } from './transfer.js';

const STACK_DEADLINE_MS = 1000;

const STALLS_DEADLINE_MS = 300;

/** Source maps that are registered there can wait until the event loop turns, and whoever wants a stack cannot. */
const MAPS_DEADLINE_MS = 1000;
const MAPS_DEADLINE_WHILE_LATE_MS = 200;

export class RemoteSources implements ProfileSources {
  readonly main: MainThread;
  readonly symbolizer: Symbolizer;
  readonly mappingFile: string;
  readonly #pulse: Pulse;
  readonly #receiver = new Receiver();
  readonly #samples: RemoteSamples;
  readonly #heap: RemoteHeap;
  readonly #labels: SentLabels[] = [];
  #stalls: StallsReading | undefined;

  constructor(
    { line, pulse }: { line: Line; pulse: Pulse },
    options: Omit<SidecarData, 'pulseMemory' | 'budgetMemory'>,
  ) {
    this.main = new MainThread({ line, pulse }, options.doorClosedBecause);
    this.symbolizer = new Symbolizer({
      trimTo: () => options.trimTo,
      maxMapBytes: MAX_MAP_BYTES_OFF_THREAD,
      registered: (files) => this.#registeredMaps(line, files),
    });
    this.mappingFile = this.symbolizer.trimmed(options.mappingFile);
    this.#pulse = pulse;
    const parts = { line, main: this.main, receiver: this.#receiver };
    this.#samples = new RemoteSamples(parts, options);
    this.#heap = new RemoteHeap(parts);
  }

  learn(names: SentNames): void {
    this.#receiver.learn(names);
  }

  addChunk(sent: { startedMicros: number; chunk: SentChunk }): void {
    this.#samples.add(sent);
  }

  /** Learns what a number in the pulse stands for. */
  addLabels(labels: SentLabels): void {
    this.#labels[labels.id] = labels;
  }

  setStalls({ stacks, stalls, ...rest }: SentStalls): void {
    const frames = this.#receiver.stacks(stacks);
    let at = 0;
    this.#stalls = {
      ...rest,
      stalls: stalls.map((stall) => ({
        ...stall,
        stacks: stall.stacks.map((stack) => ({ ...stack, labels: undefined, frames: frames[at++] ?? [] })),
      })),
    };
  }

  recorder(): RemoteSamples {
    return this.#samples;
  }

  heapRecorder(): RemoteHeap {
    return this.#heap;
  }

  /** Those of the last moments are asked for; while nothing gets in, all before are there. */
  async stalls(): Promise<StallsReading> {
    try {
      this.setStalls(await this.main.ask('stalls', undefined, { deadlineMs: STALLS_DEADLINE_MS }));
    } catch (error) {
      if (!this.#stalls) throw error;
      // What is missing comes when the main thread does.
      return { ...this.#stalls, pending: false };
    }
    return this.#stalls as StallsReading;
  }

  async blockReading(): Promise<ContentionReading> {
    const sent = await this.main.ask('blocks', undefined, { deadlineMs: STACK_DEADLINE_MS });
    const frames = this.#receiver.stacks(sent.stacks);
    return {
      overflowed: sent.overflowed,
      rows: frames.map((each, index) => ({
        frames: each,
        labels: sent.labels[index],
        count: sent.counts[index] ?? 0,
        delayNanos: sent.delaysNanos[index] ?? 0,
      })),
    };
  }

  async stack(): Promise<readonly Frame[] | undefined> {
    const sent = await this.main.ask('stack', undefined, { deadlineMs: STACK_DEADLINE_MS });
    return this.#receiver.stacks(sent)[0];
  }

  blocked(): BlockedState | null {
    const kind = this.main.blocked;
    if (!kind) return null;
    const forMs = this.#pulse.sinceBeatMs;
    const { method, route } = this.#labels[this.#pulse.labelsId] ?? {};
    return { kind, since: new Date(Date.now() - forMs).toISOString(), forMs, method, route };
  }

  /** Undefined when the main thread does not get to it. */
  async #registeredMaps(
    line: Line,
    files: readonly string[],
  ): Promise<readonly (RegisteredMap | undefined)[] | undefined> {
    try {
      const timeoutMs = this.main.late ? MAPS_DEADLINE_WHILE_LATE_MS : MAPS_DEADLINE_MS;
      const isAtIt = (): boolean => !this.main.late;
      const answer = line.ask('sourceMaps', { files }, { timeoutMs, isAtIt });
      return (await answer) as readonly (RegisteredMap | undefined)[];
    } catch {
      return undefined;
    }
  }

  /** The code that runs is on the main thread. */
  labels(): undefined {}

  monitor(): never {
    throw new LoopprofError('LOOPPROF_INTERNAL', 'What is counted is counted on the main thread.');
  }

  settledMonitor(): never {
    return this.monitor();
  }

  operations(): never {
    return this.monitor();
  }

  waits(): never {
    return this.monitor();
  }

  threads(): never {
    return this.monitor();
  }

  leakAgeMs(): never {
    return this.monitor();
  }

  overhead(): Overhead {
    throw new LoopprofError('LOOPPROF_INTERNAL', 'The counters are on the main thread.');
  }
}
