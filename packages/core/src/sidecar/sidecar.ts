/**
 * The main thread's side of the sidecar: starts the worker, replaces it when it ends, feeds it samples, and answers what it
 * asks, in turn or inside a blocked event loop.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MessageChannel, Worker } from 'node:worker_threads';
import type { LabelTrack } from '../engine/engine.js';
import { doorClosedBecause } from '../engine/main-thread-door.js';
import { LoopprofError, messageOf } from '../errors.js';
import type { Chunk } from '../recorder/chunk.js';
import type { ContentionReading } from '../recorder/contentions.js';
import { nameOfScript, pseudoFrame, type Frame } from '../recorder/frames.js';
import type { RecorderSession } from '../recorder/session.js';
import { mainGlobal, mainProcess } from '../realm.js';
import { registeredMaps } from '../symbols/registered-maps.js';
import { Line, type AskOptions } from './line.js';
import {
  DRAIN,
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
  type SidecarData,
} from './protocol.js';
import { monotonicMs, Pulse } from './pulse.js';
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

/** A worker that ends is replaced after this long, twice as long each time, up to the longest. */
const SHORTEST_BACKOFF_MS = 500;
const LONGEST_BACKOFF_MS = 60_000;

/** A worker that has lived this long starts with the shortest back-off again. */
const HEALTHY_AFTER_MS = 60_000;

/** A sidecar that has not ticked for that long while the main thread turns is stuck. */
const STUCK_AFTER_MS = 10_000;

/** A replacement tries to listen after 0, 1, 2, 4 and 8 seconds. */
const LISTEN_ATTEMPTS = 5;
const LISTEN_AGAIN_MS = 500;

/** How long an exit may wait for the sidecar, which takes a millisecond or two unless it is stuck. */
const PARK_WITHIN_MS = 200;

/** A thread that is stuck in the system cannot be ended, and nobody waits for that. */
const END_WITHIN_MS = 1000;

/** A sidecar that has not ticked for that long is not waited for. */
const UNHEARD_AFTER_MS = 1500;

/** How often that is looked at while somebody waits. */
const LISTEN_EVERY_MS = 250;

/** Ten times what it takes in a busy process. A thread of Node's has the limit of the whole process otherwise. */
const MAX_HEAP_MB = 256;

const WORKER_FILE = join(__dirname, 'worker.js');

interface Attached {
  readonly context: SidecarContext;
  httpAddr: string | undefined;
}

export class Sidecar {
  readonly pulse = new Pulse();
  /** Why it will not get into a blocked event loop, if so. */
  readonly doorClosedBecause = doorClosedBecause();
  readonly #options: SidecarOptions;
  readonly #contexts = new Map<number, Attached>();
  readonly #labels: SentLabels[] = [];
  #sender: Sender | undefined;
  #worker: Worker | undefined;
  #line: Line | undefined;
  #lastContextId = 0;
  #startedAtMs = 0;
  #silent = false;
  /** When it was first found not to tick, if it has not since. */
  #unheardSinceMs = Infinity;
  #backoffMs = SHORTEST_BACKOFF_MS;
  #respawnTimer: NodeJS.Timeout | undefined;
  #retained: LabelTrack[] = [];
  #undisturbedDepth = 0;
  #insideDoor = false;
  /** Whether the sidecar has come while it could not be let in. */
  #knocked = false;
  #stopped = false;

  constructor(options: SidecarOptions) {
    this.#options = options;
  }

  /** Why there can be none here, if so. */
  static get unavailable(): string | undefined {
    return existsSync(WORKER_FILE) ? undefined : `${WORKER_FILE} does not exist (is this app bundled?)`;
  }

  /** Whether there is a worker to ask. */
  get running(): boolean {
    return this.#line !== undefined;
  }

  /** How long its thread has been at work. */
  get activeMs(): number {
    return this.#worker?.performance.eventLoopUtilization().active ?? 0;
  }

  start(): void {
    this.#startedAtMs = performance.now();
    this.pulse.begin();
    const { port1, port2 } = new MessageChannel();
    const { sampleIntervalMicros, windowMs, mappingFile, trimTo, budgetMemory } = this.#options;
    const data: SidecarData = {
      pulseMemory: this.pulse.memory,
      budgetMemory,
      sampleIntervalMicros,
      windowMs,
      mappingFile,
      doorClosedBecause: this.doorClosedBecause,
      trimTo,
    };
    // No preloads of the host's: they would run twice, and may patch what the sidecar stands on.
    const worker = new Worker(WORKER_FILE, {
      name: 'loopprof',
      execArgv: [],
      env: { ...process.env, NODE_OPTIONS: '' },
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
      // Left unread. Otherwise Node opens the host's own as streams, and then they no longer wait when a pipe is full.
      stdout: true,
      stderr: true,
      workerData: { ...data, port: port2 },
      transferList: [port2],
    });
    worker.unref();
    const line = new Line(port1, this.#answers());
    port1.unref();
    let ended = false;
    const onEnd = (reason: string): void => {
      if (ended) return;
      ended = true;
      this.#onEnd(worker, reason);
    };
    worker.on('error', (error) => onEnd(messageOf(error)));
    worker.once('exit', (code) => onEnd(`it ended with code ${code}`));
    mainProcess.removeListener('exit', this.park).once('exit', this.park);
    this.#worker = worker;
    this.#line = line;
    this.#sender = new Sender((names) => line.tell('names', names));
    (mainGlobal as Record<symbol, unknown>)[Symbol.for(DRAIN)] = this.#drain;
    for (const [contextId, { context }] of this.#contexts) this.#tellContext(contextId, context);
    for (const labels of this.#labels) line.tell('labels', labels);
    this.#sendAll();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#respawnTimer);
    mainProcess.removeListener('exit', this.park);
    const worker = this.#worker;
    this.#let();
    if (!worker) return;
    let timer: NodeJS.Timeout | undefined;
    const tooLong = new Promise<void>((resolve) => (timer = setTimeout(resolve, END_WITHIN_MS)));
    await Promise.race([worker.terminate(), tooLong]);
    clearTimeout(timer);
    worker.unref();
  }

  /**
   * A session that is open when the process exits makes Node wait for a debugger, and say so; and Node 20 aborts the process when
   * it ends a worker in the middle of an HTTP request. So the sidecar is brought to rest first.
   */
  readonly park = (): void => {
    if (!this.#line || this.pulse.sinceTickMs > PARK_WITHIN_MS) return;
    const isUp = this.pulse.letPark();
    this.#line.tell('park', undefined);
    if (isUp) this.pulse.waitUntilParked(PARK_WITHIN_MS);
  };

  /** The process goes on after all. */
  unpark(): void {
    this.pulse.unpark();
  }

  /**
   * Whether the sidecar has interrupted whatever runs. Then samples may be taken in and numbers read, but nothing of the host's
   * may be called, nor anything begun that what was interrupted may be in the middle of.
   */
  get insideDoor(): boolean {
    return this.#insideDoor;
  }

  /** Called now and then while the event loop turns. */
  check(): void {
    this.#isStuck();
    const wasSilent = this.#silent;
    this.#silent = this.pulse.sinceTickMs >= STUCK_AFTER_MS;
    // After the whole process was stopped we may be the first to move.
    if (!this.#worker || !this.#silent || !wasSilent) return;
    this.#onEnd(this.#worker, `it has not moved for ${STUCK_AFTER_MS / 1000} s`);
  }

  /** Sends what was sampled. */
  sendChunk(chunk: Chunk, startedMicros: number): void {
    const sender = this.#sender;
    if (!sender) return;
    this.#undisturbed(() => this.#line?.tell('chunk', { startedMicros, chunk: sender.chunk(chunk) }));
  }

  /** Tells what a number in the pulse stands for. */
  addLabels(labels: SentLabels): void {
    this.#labels.push(labels);
    this.#line?.tell('labels', labels);
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
      await this.#askUnlessStuck('detach', { contextId }, { timeoutMs: 2000, keepAlive: true });
    } catch {
      // It has ended, and its server with it, or it gets round to it when it moves again.
    }
  }

  /** Serves a profiler's standalone server. Rejects when it cannot; a worker that ends meanwhile leaves it to the next one. */
  async listen(contextId: number, httpAddr: string): Promise<void> {
    const attached = this.#contexts.get(contextId);
    if (!this.#line || !attached) throw notRunning();
    attached.httpAddr = httpAddr;
    try {
      const question = { contextId, httpAddr };
      const address = (await this.#line.ask('listen', question, { keepAlive: true })) as string;
      // Whoever replaces this worker listens on the same port, whatever port was asked for.
      attached.httpAddr = withGivenPort(httpAddr, address);
      attached.context.onListening(address);
    } catch (error) {
      if (this.#line) attached.httpAddr = undefined;
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
    return (await this.#askUnlessStuck('capture', sent, { signal })) as SentCaptured;
  }

  /**
   * Has the rules of `triggers` looked at, after all that the sidecar has seen of them, and tells it of the look; or leaves them for
   * this time to the sidecar, if that is at it.
   */
  lookAtRules(contextId: number, look: () => Look): void {
    const line = this.#line;
    if (!line) {
      look();
      return;
    }
    this.#undisturbed(() =>
      this.pulse.aloneWithRules(() => {
        line.drain();
        line.tell('looked', { contextId, look: look() });
      }),
    );
  }

  /** Asks, and waits for as long as the sidecar moves. Rejects with LOOPPROF_NOT_STARTED when it does not. */
  async #askUnlessStuck(name: string, args: unknown, { signal, ...options }: AskOptions): Promise<unknown> {
    if (!this.#line) throw notRunning();
    const stuck = new AbortController();
    const looking = setInterval(() => {
      if (this.#isStuck()) stuck.abort();
    }, LISTEN_EVERY_MS);
    looking.unref();
    try {
      const signals = signal ? [signal, stuck.signal] : [stuck.signal];
      const answer = this.#line.ask(name, args, { ...options, signal: AbortSignal.any(signals) });
      if (this.#isStuck()) stuck.abort();
      return await answer;
    } catch (error) {
      throw stuck.signal.aborted && !signal?.aborted ? notRunning() : error;
    } finally {
      clearInterval(looking);
    }
  }

  /** After the whole process was stopped we may be the first to move: then it has until the next look. */
  #isStuck(): boolean {
    const nowMs = performance.now();
    this.#unheardSinceMs =
      this.pulse.sinceTickMs < UNHEARD_AFTER_MS ? Infinity : Math.min(this.#unheardSinceMs, nowMs);
    return nowMs - this.#unheardSinceMs >= LISTEN_EVERY_MS;
  }

  #tellContext(contextId: number, { sent }: SidecarContext): void {
    this.#line?.tell('attach', { ...sent, contextId });
  }

  #sendAll(): void {
    try {
      const recorder = this.#options.session.recorder();
      this.#undisturbed(() => {
        for (const chunk of recorder.chunks) this.sendChunk(chunk, recorder.startedMicros);
      });
    } catch {
      // Nothing is sampled: whoever asks for samples is told why.
    }
  }

  #answers(): ConstructorParameters<typeof Line>[1] {
    const { session } = this.#options;
    const contextOf = (contextId: number): SidecarContext => {
      const attached = this.#contexts.get(contextId);
      if (!attached) throw notRunning();
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
      stack: reading(() => this.#sendStacks(this.#insideDoor ? [stackBelow(this.#drain)] : [])),
      stalls: reading(() => this.#readStalls()),
      blocks: reading(() => this.#readBlocks()),
      vitals: reading(({ contextId }) => contextOf(contextId).vitals()),
      looked: ({ contextId, look }) =>
        this.#undisturbed(() => this.#contexts.get(contextId)?.context.onLook(look)),
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

  #readHeap(gc: boolean): SentHeap {
    return this.#undisturbed(() => {
      const { stacks, ...rest } = this.#options.session.heapRecorder().read({ gc });
      return {
        ...rest,
        stacks: this.#sendStacks(stacks.map(({ frames }) => frames)),
        objects: stacks.map(({ objects }) => objects),
        sizesBytes: stacks.map(({ sizeBytes }) => sizeBytes),
        allocObjects: rest.totals ? stacks.map(({ allocObjects }) => allocObjects) : [],
        allocBytes: rest.totals ? stacks.map(({ allocBytes }) => allocBytes) : [],
      };
    });
  }

  async #countAllocations(durationMs: number, signal: AbortSignal): Promise<SentAllocations> {
    const heap = this.#options.session.heapRecorder();
    const { stacks, ...rest } = await heap.countAllocations(durationMs, signal);
    return this.#undisturbed(() => ({
      ...rest,
      stacks: this.#sendStacks(stacks.map(({ frames }) => frames)),
      objects: stacks.map(({ objects }) => objects),
      sizesBytes: stacks.map(({ sizeBytes }) => sizeBytes),
    }));
  }

  #sendStacks(stacks: readonly (readonly Frame[])[]): SentStacks {
    return this.#sender?.stacks(stacks) ?? [];
  }

  #readStalls(): SentStalls {
    return this.#undisturbed(() => {
      const { stalls, pending, ...rest } = this.#options.stalls();
      return {
        ...rest,
        // What blocks the loop now is not over in a moment.
        pending: pending && !this.#insideDoor,
        stacks: this.#sendStacks(stalls.flatMap(({ stacks }) => stacks.map(({ frames }) => frames))),
        stalls: stalls.map((stall) => ({
          ...stall,
          stacks: stall.stacks.map(({ durationMs }) => ({ durationMs })),
        })),
      };
    });
  }

  #readBlocks(): SentContentions {
    return this.#undisturbed(() => {
      const { rows, overflowed } = this.#options.blocks();
      return {
        overflowed,
        stacks: this.#sendStacks(rows.map(({ frames }) => frames)),
        labels: rows.map(({ labels }) => labels),
        counts: rows.map(({ count }) => count),
        delaysNanos: rows.map(({ delayNanos }) => delayNanos),
      };
    });
  }

  #retainLabels(): void {
    const { labels } = this.#options.session.recorder();
    if (!labels) return;
    labels.retain();
    this.#retained.push(labels);
  }

  /** Runs inside whatever callback blocks the event loop: the sidecar has interrupted it. */
  readonly #drain = (): void => {
    this.pulse.enter();
    if (this.#insideDoor) return;
    // What it has interrupted may be ourselves.
    this.#knocked = this.#undisturbedDepth > 0;
    if (this.#knocked) return;
    this.#insideDoor = true;
    try {
      this.#line?.drain();
    } finally {
      this.#insideDoor = false;
    }
  };

  #undisturbed<T>(work: () => T): T {
    this.#undisturbedDepth += 1;
    try {
      return work();
    } finally {
      this.#undisturbedDepth -= 1;
      if (this.#knocked && this.#undisturbedDepth === 0) this.#drain();
    }
  }

  #onEnd(worker: Worker, reason: string): void {
    if (worker !== this.#worker || this.#stopped) return;
    this.#let();
    void worker.terminate();
    if (performance.now() - this.#startedAtMs > HEALTHY_AFTER_MS) this.#backoffMs = SHORTEST_BACKOFF_MS;
    this.#replace(reason);
  }

  #replace(reason: string): void {
    this.#options.onTrouble(
      `the sidecar is replaced in ${this.#backoffMs / 1000} s: ${reason}. Until then profiles are made on the main thread, and nobody answers while the event loop is blocked.`,
    );
    this.#respawnTimer = setTimeout(() => this.#respawn(), this.#backoffMs);
    this.#respawnTimer.unref();
    this.#backoffMs = Math.min(LONGEST_BACKOFF_MS, this.#backoffMs * 2);
  }

  #respawn(): void {
    try {
      this.start();
    } catch (error) {
      this.#replace(`it could not be started: ${messageOf(error)}`);
      return;
    }
    for (const [contextId, { httpAddr }] of this.#contexts) {
      if (httpAddr !== undefined) this.#listenAgain(contextId, { httpAddr, attempt: 1 });
    }
  }

  /** The worker before may still be ending, and hold the address. */
  #listenAgain(contextId: number, { httpAddr, attempt }: { httpAddr: string; attempt: number }): void {
    const line = this.#line;
    this.listen(contextId, httpAddr).catch((error: unknown) => {
      const attached = this.#contexts.get(contextId);
      // The next worker, or nobody, is to listen.
      if (this.#line !== line || !attached) return;
      if (attempt === LISTEN_ATTEMPTS) {
        this.#options.onTrouble(`the standalone server is gone: ${messageOf(error)}`);
        attached.context.onServerLost(error);
        return;
      }
      attached.httpAddr = httpAddr;
      const again = (): void => {
        if (this.#line === line) this.#listenAgain(contextId, { httpAddr, attempt: attempt + 1 });
      };
      setTimeout(again, LISTEN_AGAIN_MS * 2 ** attempt).unref();
    });
  }

  /** Lets go of the worker and of all that hangs on it. */
  #let(): void {
    const line = this.#line;
    this.#worker = this.#line = this.#sender = undefined;
    delete (mainGlobal as Record<symbol, unknown>)[Symbol.for(DRAIN)];
    for (const labels of this.#retained.splice(0)) labels.release();
    line?.close(notRunning());
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

const DEEPEST_STACK = 200;

/** The JavaScript stack that runs below `callee`, leaf first, whatever the host has made of `Error`. */
function stackBelow(callee: () => void): Frame[] {
  const { stackTraceLimit } = Error;
  const prepare = Object.getOwnPropertyDescriptor(Error, 'prepareStackTrace');
  try {
    Error.stackTraceLimit = DEEPEST_STACK;
    Error.prepareStackTrace = (_error, sites) => sites;
    const holder: { stack?: NodeJS.CallSite[] } = {};
    Error.captureStackTrace(holder, callee);
    const frames = (holder.stack ?? []).map(frameOf);
    // Above what was interrupted stands what the sidecar has evaluated.
    return frames.slice(
      Math.max(
        0,
        frames.findIndex(({ functionName, url }) => functionName !== '' || url !== ''),
      ),
    );
  } finally {
    if (prepare) Object.defineProperty(Error, 'prepareStackTrace', prepare);
    else delete (Error as { prepareStackTrace?: unknown }).prepareStackTrace;
    Error.stackTraceLimit = stackTraceLimit;
  }
}

function frameOf(site: NodeJS.CallSite): Frame {
  return {
    ...pseudoFrame(site.getFunctionName() ?? ''),
    url: nameOfScript(site.getFileName() ?? ''),
    line: site.getLineNumber() ?? 0,
    column: site.getColumnNumber() ?? 0,
  };
}

function notRunning(): LoopprofError {
  return new LoopprofError('LOOPPROF_NOT_STARTED', 'The sidecar is not running.');
}
