/**
 * Pending asynchronous operations and where they were created. Costs nothing while nobody observes and no share of them is
 * recorded all the time.
 */
import { createHook, executionAsyncId, type AsyncHook } from 'node:async_hooks';
import type { LabelTrack } from '../engine/engine.js';
import { isUserCode, type Callee, type CallSites } from './call-sites.js';
import { shownFrames, takeAboveHook } from './creation.js';
import type { Frame } from './frames.js';
import { LeakTable, type Leak } from './leaks.js';
import {
  ASYNC_TYPES,
  AWAIT,
  framesOfKind,
  PROMISE,
  ZLIB,
  type AsyncType,
  type OperationKind,
  type PoolUse,
} from './operation-kinds.js';
import { PoolWatch } from './pool-watch.js';
import { StackIds } from './stack-ids.js';
import type { Waits } from './waits.js';

export interface OperationsOptions {
  /** One operation in this many is recorded all the time; 0: none, only while somebody observes. */
  readonly sampleRate: number;
  readonly callSites: CallSites;
  readonly waits: Waits;
  /** How code is labelled, if it is. */
  readonly labels: () => LabelTrack | undefined;
}

/** A recorded operation that is pending. */
export interface PendingOperation {
  readonly kind: OperationKind;
  /** Equal for operations that were created at the same place; `framesOf` gives the frames. */
  readonly stack: number;
  /** The route that created it, if that is known. */
  readonly route: string | undefined;
  /** By the monotonic clock. */
  readonly startedMs: number;
  /** How many operations it stands for. */
  readonly weight: number;
}

interface Operation extends PendingOperation {
  /** Asked whether it is referenced. */
  readonly resource: Referenceable | undefined;
}

interface Referenceable {
  hasRef?: () => boolean;
}

interface NativeZlib {
  write: (...args: unknown[]) => unknown;
}

/** Label `resource` of waits for a thread of libuv's pool. */
const THREAD_POOL = 'thread-pool';

/** Some 200 bytes each. */
const MAX_OPERATIONS = 250_000;

/** Promises that are made for the losers of these wait for nothing that matters. */
const RACES = new Set(['race', 'any']);

export class Operations {
  readonly #options: OperationsOptions;
  readonly #stacks = new StackIds();
  readonly #operations = new Map<number, Operation>();
  readonly #leaks = new LeakTable();
  #hook: AsyncHook | undefined;
  #pool: PoolWatch | undefined;
  #unwatchAtomics: (() => void) | undefined;
  #labels: LabelTrack | undefined;
  #observers = 0;
  #untilSample = 1;
  #dropped = 0;

  constructor(options: OperationsOptions) {
    this.#options = options;
  }

  /** Whether a share of the operations is recorded while nobody observes. */
  get sampled(): boolean {
    return this.#options.sampleRate > 0;
  }

  /** Whether operations are recorded now. */
  get observed(): boolean {
    return this.#pool !== undefined;
  }

  /** Operations that are missing among the pending ones because there were too many. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Leaks that are missing among the others because there were too many places. */
  get droppedLeaks(): number {
    return this.#leaks.dropped;
  }

  start(): void {
    if (this.sampled) this.#watch();
  }

  stop(): void {
    this.#observers = 0;
    this.#releaseLabels();
    this.#unwatch();
  }

  /** Records every operation that is created from now on, until the function it gives is called. */
  observe(): () => void {
    this.#observers += 1;
    if (this.#observers === 1) this.#retainLabels();
    this.#watch();
    let ended = false;
    return () => {
      if (ended || this.#observers === 0) return;
      ended = true;
      this.#observers -= 1;
      if (this.#observers > 0) return;
      this.#releaseLabels();
      if (!this.sampled) this.#unwatch();
    };
  }

  /** Ids of the recorded operations, in the order of their creation. */
  ids(): number[] {
    this.#pool?.decide();
    return [...this.#operations.keys()];
  }

  /** The operation of that id if it is pending, and referenced where only then it counts. */
  pending(id: number): PendingOperation | undefined {
    const operation = this.#operations.get(id);
    return operation?.resource?.hasRef?.() === false ? undefined : operation;
  }

  /** The frames of a stack, leaf first. */
  framesOf(stack: number): readonly Frame[] {
    return this.#stacks.framesOf(stack);
  }

  /** Promises that were collected while they were pending, added up since the start. */
  leaks(): Leak[] {
    return this.#leaks.read((stack) => this.framesOf(stack));
  }

  #watch(): void {
    if (this.#pool) return;
    this.#hook ??= createHook({
      init: this.#init,
      before: (id) => this.#before(id),
      destroy: (id) => this.#destroy(id),
      promiseResolve: (id) => void this.#operations.delete(id),
    });
    this.#pool = new PoolWatch((id) => void this.#operations.delete(id));
    this.#unwatchAtomics = this.#options.waits.watchAtomics();
    this.#hook.enable();
  }

  #unwatch(): void {
    this.#hook?.disable();
    this.#pool?.stop();
    this.#pool = undefined;
    this.#unwatchAtomics?.();
    this.#unwatchAtomics = undefined;
    this.#operations.clear();
    this.#dropped = 0;
  }

  #retainLabels(): void {
    this.#labels = this.#options.labels();
    this.#labels?.retain();
  }

  #releaseLabels(): void {
    this.#labels?.release();
    this.#labels = undefined;
  }

  // eslint-disable-next-line max-params -- async_hooks gives four
  readonly #init = (id: number, type: string, trigger: number, resource: object): void => {
    const asyncType = ASYNC_TYPES.get(type);
    if (!asyncType) return;
    this.#guard(() => {
      if (asyncType.kind === PROMISE) this.#onPromise(id, trigger);
      else if (asyncType.kind === ZLIB) this.#onZlib(id, asyncType, resource as NativeZlib);
      else this.#onResource(id, asyncType, resource);
    });
  };

  #before(id: number): void {
    this.#guard(() => this.#pool?.step(id));
    // A compressor lives on, its work is done.
    if (this.#operations.get(id)?.kind === ZLIB) this.#operations.delete(id);
  }

  /** An exception in a hook would end the process; whoever runs out of stack there has other worries. */
  #guard(run: () => void): void {
    try {
      run();
    } catch {
      this.#dropped += 1;
    }
  }

  #destroy(id: number): void {
    this.#guard(() => this.#pool?.drop(id));
    const operation = this.#operations.get(id);
    if (!operation) return;
    this.#operations.delete(id);
    if (operation.kind === AWAIT || operation.kind === PROMISE) this.#leaks.add(operation);
  }

  /** How many operations the next one stands for; 0 if it is not recorded. */
  #draw(): number {
    if (this.#observers > 0) return 1;
    this.#untilSample -= 1;
    if (this.#untilSample > 0) return 0;
    const { sampleRate } = this.#options;
    // Not every n-th: what repeats in a rhythm would always be hit, or never.
    this.#untilSample = 1 + Math.floor(Math.random() * (2 * sampleRate - 1));
    return sampleRate;
  }

  /**
   * Of the many promises that code makes, an operation is each `await`, and each other promise as long as nothing is known to
   * wait for it. What an async function gives is none: one of its own awaits is pending as long as it is.
   */
  #onPromise(id: number, trigger: number): void {
    const derived = trigger !== executionAsyncId();
    if (derived) this.#operations.delete(trigger);
    const weight = this.#draw();
    if (weight === 0) return;
    const frames = takeAboveHook(this.#options.callSites, this.#init);
    const first = frames.findIndex(({ url }) => url !== '');
    const maker = frames[first];
    if (!maker || !isUserCode(maker) || (first === 0 && !derived)) return;
    if (frames.slice(0, first).some(({ functionName }) => RACES.has(functionName))) return;
    this.#add(id, { kind: first === 0 ? AWAIT : PROMISE, weight, resource: undefined }, frames);
  }

  #onResource(id: number, { kind, pool, referenced }: AsyncType, resource: object): void {
    const weight = this.#draw();
    if (weight === 0 && pool === undefined) return;
    const operation =
      weight === 0
        ? undefined
        : this.#add(
            id,
            { kind, weight, resource: referenced ? resource : undefined },
            takeAboveHook(this.#options.callSites, this.#init),
          );
    if (pool !== undefined)
      this.#pool?.submit({ id, use: pool, onWaited: this.#waitRecorder(operation) }, resource);
  }

  /** A compressor hands work to the pool again and again, and only its own function knows when. */
  #onZlib(id: number, { pool }: AsyncType, native: NativeZlib): void {
    const created =
      this.#draw() === 0
        ? []
        : (this.#framesOfCurrent() ?? takeAboveHook(this.#options.callSites, this.#init));
    const original = native.write;
    const write = (...args: unknown[]): unknown => {
      this.#onCompress(id, { pool, native, created, callee: write });
      return original.apply(native, args);
    };
    Object.defineProperty(native, 'write', { value: write, configurable: true, writable: true });
  }

  #onCompress(
    id: number,
    {
      pool,
      native,
      created,
      callee,
    }: { pool: PoolUse; native: NativeZlib; created: readonly Frame[]; callee: Callee },
  ): void {
    const weight = this.#pool ? this.#draw() : 0;
    this.#guard(() => {
      let operation: Operation | undefined;
      if (weight > 0) {
        const frames = this.#options.callSites.take(callee);
        const shown = frames.some(isUserCode) || created.length === 0 ? frames : created;
        operation = this.#add(id, { kind: ZLIB, weight, resource: undefined }, shown);
      }
      this.#pool?.submit({ id, use: pool, onWaited: this.#waitRecorder(operation) }, native);
    });
  }

  /** Records an operation that was created at `frames`; not our own. */
  #add(
    id: number,
    operation: Pick<Operation, 'kind' | 'weight' | 'resource'>,
    frames: readonly Frame[],
  ): Operation | undefined {
    const shown = shownFrames(frames, this.#framesOfCurrent());
    if (!shown) return undefined;
    const added: Operation = {
      ...operation,
      stack: this.#stacks.idOf(shown.length > 0 ? shown : framesOfKind(operation.kind)),
      route: this.#options.labels()?.current()?.['route'],
      startedMs: performance.now(),
    };
    if (this.#operations.size < MAX_OPERATIONS) this.#operations.set(id, added);
    else this.#dropped += 1;
    return added;
  }

  /** Where the operation was created whose callback runs now. */
  #framesOfCurrent(): readonly Frame[] | undefined {
    const current = this.#operations.get(executionAsyncId());
    return current && this.framesOf(current.stack);
  }

  #waitRecorder(operation: Operation | undefined): ((waitedMs: number) => void) | undefined {
    if (!operation) return undefined;
    const { stack, route } = operation;
    const { waits } = this.#options;
    const weight = operation.weight * waits.draw();
    if (weight === 0) return undefined;
    return (waitedMs) =>
      waits.add({ frames: this.framesOf(stack), resource: THREAD_POOL, route, waitedMs, weight });
  }
}
