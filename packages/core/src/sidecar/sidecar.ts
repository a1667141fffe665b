/**
 * The main thread's side of the sidecar: tells it of the profilers, feeds it samples, has it listen and capture, and answers what
 * it asks, in turn or inside a blocked event loop.
 */
import type { LabelTrack } from '../engine/engine.js';
import { doorClosedBecause } from '../engine/main-thread-door.js';
import { messageOf } from '../errors.js';
import type { Chunk } from '../recorder/chunk.js';
import type { ContentionReading } from '../recorder/contentions.js';
import type { Frame } from '../recorder/frames.js';
import type { RecorderSession } from '../recorder/session.js';
import { registeredMaps } from '../symbols/registered-maps.js';
import { Door } from './door.js';
import type { Line, LineOptions } from './line.js';
import {
  type MainQuestions,
  type Reading,
  type SentAllocations,
  type SentCapture,
  type SentCaptured,
  type SentContentions,
  type SentContext,
  type SentFacts,
  type SentHeap,
  type SentLabels,
  type SentLog,
  type SentSnapshot,
  type SentStalls,
} from './protocol.js';
import { monotonicMs, Pulse } from './pulse.js';
import { sentAllocations, sentContentions, sentHeap, sentStalls } from './sent-readings.js';
import { SidecarThread, sidecarNotRunning } from './sidecar-thread.js';
import { stackBelow } from './stack-below.js';
import { Sender, type SentStacks } from './transfer.js';
import { withGivenPort, type AccessRequest } from '../config.js';
import { createPacer } from '../profiles/pacer.js';
import type { CaptureRequest } from '../profiles/profile.js';
import type { StallsReading } from '../profiles/sources.js';
import type { Vitals } from '../snapshots/readings.js';
import type { Look } from '../snapshots/triggers.js';

/** One profiler, as the sidecar needs it. */
export interface SidecarContext {
  readonly sent: Omit<SentContext, 'contextId'>;
  /** Told where its server listens, whenever it has begun to. */
  onListening(address: string): void;
  /** Told that it listens no more, and will not again. */
  onServerLost(error: unknown): void;
  facts(): SentFacts;
  document(name: string): object;
  capture(name: string, request: CaptureRequest): Promise<SentCaptured>;
  takeSnapshot(): Promise<object>;
  authorize(request: AccessRequest): Promise<boolean>;
  log(entry: SentLog): void;
  vitals(): Vitals;
  /** Told of a look at the rules, also inside a blocked event loop: nothing of the host's may be called. */
  onLook(look: Look): void;
  onSnapshot(sent: SentSnapshot): void;
}

export interface SidecarOptions {
  readonly session: RecorderSession;
  readonly sampleIntervalMicros: number;
  readonly windowMs: number;
  readonly mappingFile: string;
  readonly trimTo: string | undefined;
  readonly budgetMemory: SharedArrayBuffer;
  stalls(): StallsReading;
  blocks(): ContentionReading;
  /** Told what went wrong with the worker, and what is done about it. */
  onTrouble(message: string): void;
}

/** A replacement tries to listen after 0, 1, 2, 4 and 8 seconds. */
const LISTEN_ATTEMPTS = 5;
const LISTEN_AGAIN_MS = 500;

interface Attached {
  readonly context: SidecarContext;
  httpAddr: string | undefined;
}

export class Sidecar {
  readonly pulse = new Pulse();
  /** Why it will not get into a blocked event loop, if so. */
  readonly doorClosedBecause = doorClosedBecause();
  /** Where it lives. */
  readonly thread: SidecarThread;
  readonly #options: SidecarOptions;
  readonly #door = new Door(this.pulse, () => this.thread.line?.drain());
  readonly #contexts = new Map<number, Attached>();
  readonly #labels: SentLabels[] = [];
  #sender: Sender | undefined;
  #lastContextId = 0;
  #retained: LabelTrack[] = [];

  constructor(options: SidecarOptions) {
    this.#options = options;
    const { sampleIntervalMicros, windowMs, mappingFile, trimTo, budgetMemory } = options;
    this.thread = new SidecarThread({
      pulse: this.pulse,
      data: {
        pulseMemory: this.pulse.memory,
        budgetMemory,
        sampleIntervalMicros,
        windowMs,
        mappingFile,
        doorClosedBecause: this.doorClosedBecause,
        trimTo,
      },
      answers: this.#answers(),
      onStarted: (line) => this.#onStarted(line),
      onGone: () => this.#onGone(),
      onTrouble: (message) => options.onTrouble(message),
    });
  }

  /** Whether there is a worker to ask. */
  get running(): boolean {
    return this.thread.line !== undefined;
  }

  /**
   * Whether the sidecar has interrupted whatever runs. Then samples may be taken in and numbers read, but nothing of the host's
   * may be called, nor anything begun that what was interrupted may be in the middle of.
   */
  get insideDoor(): boolean {
    return this.#door.inside;
  }

  /** Lets the sidecar in only after `work`. */
  undisturbed<T>(work: () => T): T {
    return this.#door.undisturbed(work);
  }

  /** Sends what was sampled. */
  sendChunk(chunk: Chunk, startedMicros: number): void {
    const sender = this.#sender;
    if (!sender) return;
    this.#door.undisturbed(() =>
      this.thread.line?.tell('chunk', { startedMicros, chunk: sender.chunk(chunk) }),
    );
  }

  /** Tells what a number in the pulse stands for. */
  addLabels(labels: SentLabels): void {
    this.#labels.push(labels);
    this.thread.line?.tell('labels', labels);
  }

  attach(context: SidecarContext): number {
    const contextId = ++this.#lastContextId;
    this.#contexts.set(contextId, { context, httpAddr: undefined });
    this.#tellContext(contextId, context);
    return contextId;
  }

  async detach(contextId: number): Promise<void> {
    this.#contexts.delete(contextId);
    try {
      await this.thread.ask('detach', { contextId }, { timeoutMs: 2000, keepAlive: true });
    } catch {
      // It has ended, and its server with it, or it gets round to it when it moves again.
    }
  }

  /** Serves a profiler's standalone server. Rejects when it cannot; a worker that ends meanwhile leaves it to the next one. */
  async listen(contextId: number, httpAddr: string): Promise<void> {
    const attached = this.#contexts.get(contextId);
    if (!this.thread.line || !attached) throw sidecarNotRunning();
    attached.httpAddr = httpAddr;
    try {
      const question = { contextId, httpAddr };
      const address = (await this.thread.line.ask('listen', question, { keepAlive: true })) as string;
      // Whoever replaces this worker listens on the same port, whatever port was asked for.
      attached.httpAddr = withGivenPort(httpAddr, address);
      attached.context.onListening(address);
    } catch (error) {
      if (this.thread.line) attached.httpAddr = undefined;
      throw error;
    }
  }

  /** Has a profile made in the sidecar. Rejects with LOOPPROF_NOT_STARTED when that is gone, or does not move. */
  async capture(
    contextId: number,
    name: string,
    { signal, ...request }: CaptureRequest,
  ): Promise<SentCaptured> {
    const sent: SentCapture = { contextId, name, request };
    return (await this.thread.ask('capture', sent, { signal })) as SentCaptured;
  }

  /**
   * Has the rules of `triggers` looked at, after all that the sidecar has seen of them, and tells it of the look; or leaves them for
   * this time to the sidecar, if that is at it.
   */
  lookAtRules(contextId: number, look: () => Look): void {
    const line = this.thread.line;
    if (!line) {
      look();
      return;
    }
    this.#door.undisturbed(() =>
      this.pulse.aloneWithRules(() => {
        line.drain();
        line.tell('looked', { contextId, look: look() });
      }),
    );
  }

  #onStarted(line: Line): void {
    this.#sender = new Sender((names) => line.tell('names', names));
    this.#door.open();
    for (const [contextId, { context }] of this.#contexts) this.#tellContext(contextId, context);
    for (const labels of this.#labels) line.tell('labels', labels);
    this.#sendAll();
    for (const [contextId, { httpAddr }] of this.#contexts) {
      if (httpAddr !== undefined) this.#listenAgain(contextId, { httpAddr, attempt: 1 });
    }
  }

  #onGone(): void {
    this.#sender = undefined;
    this.#door.close();
    for (const labels of this.#retained.splice(0)) labels.release();
  }

  #tellContext(contextId: number, { sent }: SidecarContext): void {
    this.thread.line?.tell('attach', { ...sent, contextId });
  }

  #sendAll(): void {
    try {
      const recorder = this.#options.session.recorder();
      this.#door.undisturbed(() => {
        for (const chunk of recorder.chunks) this.sendChunk(chunk, recorder.startedMicros);
      });
    } catch {
      // Nothing is sampled: whoever asks for samples is told why.
    }
  }

  #answers(): LineOptions {
    const { session } = this.#options;
    const contextOf = (contextId: number): SidecarContext => {
      const attached = this.#contexts.get(contextId);
      if (!attached) throw sidecarNotRunning();
      return attached.context;
    };
    const atOnce: Answerers<
      | 'harvest'
      | 'heap'
      | 'document'
      | 'facts'
      | 'stack'
      | 'stalls'
      | 'blocks'
      | 'vitals'
      | 'looked'
      | 'retainLabels'
      | 'releaseLabels'
    > = {
      harvest: reading(() => session.recorder().harvest()),
      heap: reading(({ gc }) => this.#readHeap(gc)),
      document: reading(({ contextId, name }) => contextOf(contextId).document(name)),
      facts: reading(({ contextId }) => contextOf(contextId).facts()),
      stack: reading(() => this.#sendStacks(this.#door.inside ? [stackBelow(this.#door.enter)] : [])),
      stalls: reading(() => this.#readStalls()),
      blocks: reading(() => this.#readBlocks()),
      vitals: reading(({ contextId }) => contextOf(contextId).vitals()),
      looked: ({ contextId, look }) =>
        this.#door.undisturbed(() => this.#contexts.get(contextId)?.context.onLook(look)),
      retainLabels: () => this.#retainLabels(),
      releaseLabels: () => this.#retained.pop()?.release(),
    };
    const inTurn: Answerers<
      'allocations' | 'capture' | 'snapshot' | 'sourceMaps' | 'authorize' | 'log' | 'tookSnapshot'
    > = {
      allocations: ({ durationMs }, signal) => this.#countAllocations(durationMs, signal),
      capture: ({ contextId, name, request }, signal) =>
        contextOf(contextId).capture(name, { ...request, signal }),
      snapshot: ({ contextId }) => contextOf(contextId).takeSnapshot(),
      // Nobody waits any more for what was asked of a blocked event loop.
      sourceMaps: ({ files }, signal) => registeredMaps(signal.aborted ? [] : files, createPacer()),
      authorize: ({ contextId, request }) => contextOf(contextId).authorize(request),
      log: (entry) => this.#contexts.get(entry.contextId)?.context.log(entry),
      tookSnapshot: (sent) => this.#contexts.get(sent.contextId)?.context.onSnapshot(sent),
    };
    return { atOnce, inTurn };
  }

  readonly #sendStacks = (stacks: readonly (readonly Frame[])[]): SentStacks =>
    this.#sender?.stacks(stacks) ?? [];

  #readHeap(gc: boolean): SentHeap {
    return this.#door.undisturbed(() =>
      sentHeap(this.#options.session.heapRecorder().read({ gc }), this.#sendStacks),
    );
  }

  async #countAllocations(durationMs: number, signal: AbortSignal): Promise<SentAllocations> {
    const heap = this.#options.session.heapRecorder();
    const counted = await heap.countAllocations(durationMs, signal);
    return this.#door.undisturbed(() => sentAllocations(counted, this.#sendStacks));
  }

  #readStalls(): SentStalls {
    return this.#door.undisturbed(() => {
      const read = this.#options.stalls();
      // What blocks the loop now is not over in a moment.
      const pending = read.pending && !this.#door.inside;
      return sentStalls({ ...read, pending }, this.#sendStacks);
    });
  }

  #readBlocks(): SentContentions {
    return this.#door.undisturbed(() => sentContentions(this.#options.blocks(), this.#sendStacks));
  }

  #retainLabels(): void {
    const { labels } = this.#options.session.recorder();
    if (!labels) return;
    labels.retain();
    this.#retained.push(labels);
  }

  /** The worker before may still be ending, and hold the address. */
  #listenAgain(contextId: number, { httpAddr, attempt }: { httpAddr: string; attempt: number }): void {
    const line = this.thread.line;
    this.listen(contextId, httpAddr).catch((error: unknown) => {
      const attached = this.#contexts.get(contextId);
      // The next worker, or nobody, is to listen.
      if (this.thread.line !== line || !attached) return;
      if (attempt === LISTEN_ATTEMPTS) {
        this.#options.onTrouble(`the standalone server is gone: ${messageOf(error)}`);
        attached.context.onServerLost(error);
        return;
      }
      attached.httpAddr = httpAddr;
      const again = (): void => {
        if (this.thread.line === line) this.#listenAgain(contextId, { httpAddr, attempt: attempt + 1 });
      };
      setTimeout(again, LISTEN_AGAIN_MS * 2 ** attempt).unref();
    });
  }
}

type Answerers<Name extends keyof MainQuestions> = {
  readonly [Each in Name]: (
    args: MainQuestions[Each]['args'],
    signal: AbortSignal,
  ) => MainQuestions[Each]['answer'] | Promise<MainQuestions[Each]['answer']>;
};

function reading<Args, T>(read: (args: Args) => T): (args: Args) => Reading<T> {
  return (args) => ({ readAtMs: monotonicMs(), value: read(args) });
}
