/** Entering an asynchronous context without copying it. */
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';

/** All stores of one asynchronous context. Node only ever takes stores out of one that is in use; to put one in, it makes another. */
type Frame = { readonly size: number } | undefined;

/** A copy of the base with the value of that key on top. */
interface Copy<Key> {
  readonly key: Key;
  readonly frame: NonNullable<Frame>;
}

/** The statics of Node's own class of frames. */
interface FrameClass {
  current(): Frame;
  set(frame: Frame): void;
}

/** Copies of a context are kept once requests have begun in it so much more often than in others. */
const ADOPT_AT = 8;

/**
 * ContextFrames enters values into a store of Node 24 and later. `enterWith` makes a copy of all stores each time, which takes half a
 * microsecond and half a kilobyte for the two values of a request; but a server's requests nearly all come out of the same context, and
 * so the copy that was made of it for the same value before serves again.
 */
export class ContextFrames<Key extends object, T extends object> {
  readonly #store: AsyncLocalStorage<T>;
  readonly #valueOf: (key: Key) => T;
  /** Undefined where this Node does not show its frames: everything is copied then. */
  readonly #frames = frameClass();
  #base: Frame;
  #baseSize = 0;
  /** All of one size. */
  readonly #copies = new Map<Key, Copy<Key>>();
  #copySize = 0;
  readonly #ours = new Set<Frame>();
  /** What was entered last in the base, and in a copy: a request mostly begins as the one before, and goes on in what that gave it. */
  #inBase: Copy<Key> | undefined;
  #inCopy: Copy<Key> | undefined;
  #candidate: Frame;
  #votes = 0;

  /** @param valueOf Gives the value of a key, always the same one. */
  constructor(store: AsyncLocalStorage<T>, valueOf: (key: Key) => T) {
    this.#store = store;
    this.#valueOf = valueOf;
  }

  /**
   * Does what `enterWith` does with the key's value.
   *
   * @param isBeginning Whether others may come out of the same context: one that a request has gone on to is its own.
   */
  enter(key: Key, isBeginning: boolean): void {
    const frames = this.#frames;
    const outer = frames?.current();
    const isBase = outer === this.#base;
    // Somebody may have taken a store out of the base, which requests on their way are to keep.
    const isBaseWhole = (this.#base?.size ?? 0) === this.#baseSize;
    if (!frames || !(isBase || (isBaseWhole && this.#isWholeCopy(outer)))) {
      if (isBeginning) this.#consider(outer);
      this.#store.enterWith(this.#valueOf(key));
      return;
    }
    const last = isBase ? this.#inBase : this.#inCopy;
    const copy = last?.key === key ? last : this.#copies.get(key);
    if (!isBaseWhole || copy?.frame.size !== this.#copySize) {
      this.#makeCopy(frames, key);
      return;
    }
    frames.set(copy.frame);
    if (!isBase) this.#inCopy = copy;
    else {
      this.#inBase = copy;
      if (this.#votes > 0) this.#votes -= 1;
    }
  }

  /** Somebody may have taken a store out of one, which that request then is to be without. */
  #isWholeCopy(frame: Frame): boolean {
    return frame?.size === this.#copySize && (frame === this.#inBase?.frame || this.#ours.has(frame));
  }

  #makeCopy(frames: FrameClass, key: Key): void {
    const base = this.#base;
    // Somebody may have taken a store out of it, or out of a copy, since.
    if (this.#copies.has(key) || (base?.size ?? 0) !== this.#baseSize) this.#adopt(base);
    frames.set(base);
    this.#store.enterWith(this.#valueOf(key));
    const made = frames.current();
    if (!made) return;
    this.#copies.set(key, { key, frame: made });
    this.#copySize = made.size;
    this.#ours.add(made);
  }

  #consider(outer: Frame): void {
    if (this.#votes <= 0) this.#candidate = outer;
    this.#votes += outer === this.#candidate ? 1 : -1;
    if (this.#votes >= ADOPT_AT) this.#adopt(this.#candidate);
  }

  #adopt(base: Frame): void {
    this.#base = base;
    this.#baseSize = base?.size ?? 0;
    this.#copies.clear();
    this.#ours.clear();
    this.#inBase = this.#inCopy = undefined;
    this.#candidate = undefined;
    this.#votes = 0;
  }
}

/** Finds the class of frames, which Node keeps to itself, on a resource that remembers its frame; sees whether it does what it should. */
function frameClass(): FrameClass | undefined {
  const store = new AsyncLocalStorage<object>();
  const value = {};
  try {
    // What happens to the context in here ends with it.
    return newResource().runInAsyncScope(() => {
      store.enterWith(value);
      const resource = newResource() as unknown as Record<symbol, unknown>;
      return Object.getOwnPropertySymbols(resource)
        .map((symbol) => resource[symbol])
        .filter((frame) => typeof frame === 'object' && frame !== null)
        .map((frame) => frame.constructor as unknown as FrameClass)
        .find((frames) => isFrameClass(frames, store, value));
    });
  } catch {
    return undefined;
  }
}

function isFrameClass(frames: FrameClass, store: AsyncLocalStorage<object>, value: object): boolean {
  if (typeof frames.current !== 'function' || typeof frames.set !== 'function') return false;
  const frame = frames.current();
  if (typeof frame?.size !== 'number') return false;
  frames.set(undefined);
  const isLeft = store.getStore() === undefined && frames.current() === undefined;
  frames.set(frame);
  return isLeft && store.getStore() === value;
}

function newResource(): AsyncResource {
  return new AsyncResource('LOOPPROF', { requireManualDestroy: true });
}
