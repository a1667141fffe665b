/** Entering an asynchronous context without copying it. */
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';

/** All stores of one asynchronous context. Node only ever takes stores out of one that is in use; to put one in, it makes another. */
type Frame = { readonly size: number } | undefined;

/** The statics of Node's own class of frames. */
interface FrameClass {
  current(): Frame;
  set(frame: Frame): void;
}

/**
 * Copies of a context are kept once it has been left so much more often than others. Each request leaves two, and that of its
 * beginning is its own.
 */
const ADOPT_AT = 16;
const FOR = 2;
const AGAINST = 1;

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
  /** Copies of the base, by what they hold on top; all of one size. */
  readonly #copies = new Map<Key, NonNullable<Frame>>();
  #copySize = 0;
  readonly #ours = new Set<Frame>();
  /** The one that was entered last: the first of a request is mostly the context in which its second is entered. */
  #entered: Frame;
  #candidate: Frame;
  #votes = 0;

  /** @param valueOf Gives the value of a key, always the same one. */
  constructor(store: AsyncLocalStorage<T>, valueOf: (key: Key) => T) {
    this.#store = store;
    this.#valueOf = valueOf;
  }

  /** Does what `enterWith` does with the key's value. */
  enter(key: Key): void {
    const frames = this.#frames;
    const outer = frames?.current();
    // Somebody may have taken a store out of the base, which requests on their way are to keep.
    const isBaseWhole = (this.#base?.size ?? 0) === this.#baseSize;
    if (!frames || (outer !== this.#base && !(isBaseWhole && this.#isWholeCopy(outer)))) {
      this.#store.enterWith(this.#valueOf(key));
      this.#consider(outer);
      return;
    }
    const copy = this.#copies.get(key);
    if (isBaseWhole && copy?.size === this.#copySize) {
      frames.set(copy);
      this.#entered = copy;
    } else this.#makeCopy(frames, key);
  }

  /** Somebody may have taken a store out of one, which that request then is to be without. */
  #isWholeCopy(frame: Frame): boolean {
    return frame?.size === this.#copySize && (frame === this.#entered || this.#ours.has(frame));
  }

  #makeCopy(frames: FrameClass, key: Key): void {
    const base = this.#base;
    // Somebody may have taken a store out of it, or out of a copy, since.
    if (this.#copies.has(key) || (base?.size ?? 0) !== this.#baseSize) this.#adopt(base);
    frames.set(base);
    this.#store.enterWith(this.#valueOf(key));
    const made = frames.current();
    if (!made) return;
    this.#copies.set(key, made);
    this.#copySize = made.size;
    this.#ours.add(made);
  }

  #consider(outer: Frame): void {
    if (this.#votes <= 0) this.#candidate = outer;
    this.#votes += outer === this.#candidate ? FOR : -AGAINST;
    if (this.#votes >= ADOPT_AT) this.#adopt(this.#candidate);
  }

  #adopt(base: Frame): void {
    this.#base = base;
    this.#baseSize = base?.size ?? 0;
    this.#copies.clear();
    this.#ours.clear();
    this.#entered = base;
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
