/** The two ways in which `@datadog/pprof` lets samples carry labels. */
import { AsyncLocalStorage, createHook, type AsyncHook } from 'node:async_hooks';
import { mainGlobal } from '../realm.js';
import { ContextFrames } from './context-frames.js';
import type { LabelSet, LabelTrack } from './engine.js';

/** The parts of the native profiler that labels need. */
export interface LabellingProfiler {
  createContextHolder(value: LabelSet): ContextHolder;
  context: LabelSet | undefined;
}

/** Wraps a value so that the signal handler can read it; `[0]` gives it back. */
export interface ContextHolder {
  readonly 0: LabelSet;
}

/** In the main realm, which no holder outlives. */
const OUTLIVED = Symbol.for('loopprof.outlived');

/**
 * Where V8 collects a profiler together with holders of its own, the addon lets go of those twice, which ends the process
 * (`Check failed: node->IsInUse()`). So a profiler is kept until all its holders have been collected.
 */
class Outlived {
  readonly #kept = (mainGlobal[OUTLIVED] ??= new mainGlobal.Set()) as Set<Outlived>;
  readonly #registry = new mainGlobal.FinalizationRegistry(() => this.#gone());
  #holders = 0;

  constructor(readonly profiler: LabellingProfiler) {}

  keepFor(holder: ContextHolder): ContextHolder {
    this.#kept.add(this);
    this.#holders += 1;
    this.#registry.register(holder, undefined);
    return holder;
  }

  #gone(): void {
    this.#holders -= 1;
    if (this.#holders === 0) this.#kept.delete(this);
  }
}

/**
 * Node 24 and later keep the stores of AsyncLocalStorage in one map per asynchronous context, where the signal handler finds
 * ours. A holder is a native object, so there is one per label set, not per request.
 */
export class ContextFrameLabels implements LabelTrack {
  readonly always = true;
  readonly #store: AsyncLocalStorage<ContextHolder>;
  readonly #profiler: LabellingProfiler;
  readonly #frames: ContextFrames<LabelSet, ContextHolder>;
  readonly #outlived: Outlived;
  readonly #holders = new WeakMap<LabelSet, ContextHolder>();

  constructor(profiler: LabellingProfiler, store: AsyncLocalStorage<ContextHolder>) {
    this.#profiler = profiler;
    this.#outlived = new Outlived(profiler);
    this.#store = store;
    this.#frames = new ContextFrames(store, (labels: LabelSet) => this.#holder(labels));
  }

  enter(labels: LabelSet, isBeginning: boolean): void {
    this.#frames.enter(labels, isBeginning);
  }

  run<T>(labels: LabelSet, callback: () => T): T {
    return this.#store.run(this.#holder(labels), callback);
  }

  current(): LabelSet | undefined {
    return this.#store.getStore()?.[0];
  }

  retain(): void {}

  release(): void {}

  takeJobIds(): boolean {
    return false;
  }

  #holder(labels: LabelSet): ContextHolder {
    let holder = this.#holders.get(labels);
    if (!holder) {
      holder = this.#outlived.keepFor(this.#profiler.createContextHolder(labels));
      this.#holders.set(labels, holder);
    }
    return holder;
  }
}

/**
 * Before Node 24 the profiler has one current context, which has to be set again on every asynchronous step. That costs, so it is
 * done only while somebody wants labels.
 */
export class HookedLabels implements LabelTrack {
  readonly always = false;
  readonly #store = new AsyncLocalStorage<LabelSet>();
  readonly #profiler: LabellingProfiler;
  readonly #hook: AsyncHook;
  #current: LabelSet | undefined;
  #outer: (LabelSet | undefined)[] = [];
  #holders = 0;
  #jobIds = false;

  constructor(profiler: LabellingProfiler) {
    this.#profiler = profiler;
    this.#hook = createHook({
      before: () => {
        // Steps nest where code enters an AsyncResource by hand.
        this.#outer.push(this.#current);
        this.#set(this.#store.getStore());
      },
      after: () => this.#set(this.#outer.pop()),
    });
  }

  enter(labels: LabelSet): void {
    if (this.#holders === 0) return;
    this.#store.enterWith(labels);
    this.#set(labels);
  }

  run<T>(labels: LabelSet, callback: () => T): T {
    if (this.#holders === 0) return callback();
    const outer = this.#current;
    return this.#store.run(labels, () => {
      this.#set(labels);
      try {
        return callback();
      } finally {
        this.#set(outer);
      }
    });
  }

  current(): LabelSet | undefined {
    return this.#holders === 0 ? undefined : this.#store.getStore();
  }

  retain(): void {
    this.#holders += 1;
    this.#jobIds = true;
    if (this.#holders === 1) this.#hook.enable();
  }

  takeJobIds(): boolean {
    const had = this.#jobIds;
    this.#jobIds = this.#holders > 0;
    return had;
  }

  release(): void {
    this.#holders -= 1;
    if (this.#holders > 0) return;
    this.#hook.disable();
    this.#store.disable();
    this.#outer = [];
    this.#set(undefined);
  }

  #set(labels: LabelSet | undefined): void {
    if (labels === this.#current) return;
    this.#current = labels;
    this.#profiler.context = labels;
  }
}
