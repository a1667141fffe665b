/**
 * Samples on their way to another thread. Frames and label sets compare by identity, so each is sent once and has a number from
 * then on; all else of a chunk are columns of numbers, which are copied in one piece each.
 */
import type { LabelSet } from '../engine/engine.js';
import type { Chunk } from '../recorder/chunk.js';
import { pseudoFrame, type Frame } from '../recorder/frames.js';

/** Things by number, as one message brings them. */
export interface NewThings<T> {
  readonly firstId: number;
  readonly things: readonly T[];
}

/**
 * What has got a number, in a message of its own that goes ahead of those that use the numbers: an answer that comes too late for
 * whoever asked is thrown away, and must not take names with it.
 */
export interface SentNames {
  readonly frames: NewThings<Frame>;
  readonly labels: NewThings<LabelSet>;
}

export interface SentChunk extends Omit<Chunk, 'frames' | 'labels'> {
  readonly frames: Uint32Array;
  readonly labels: Uint32Array | undefined;
}

/** Stacks by the numbers of their frames, leaf first. */
export type SentStacks = readonly Uint32Array[];

/** Stands for a frame whose name has not come. */
const UNKNOWN_FRAME = pseudoFrame('(unknown)');

/** Past this many the numbers start anew, so that what is kept on the other side stays bounded. */
const MAX_THINGS = 100_000;

/** Gives numbers, from 1 on; 0 stands for nothing. */
class Numbers<T extends object> {
  #ids = new WeakMap<T, number>();
  #size = 0;
  #new: T[] = [];
  #firstNew = 1;

  id(thing: T | undefined): number {
    if (thing === undefined) return 0;
    let id = this.#ids.get(thing);
    if (id === undefined) {
      id = ++this.#size;
      this.#ids.set(thing, id);
      this.#new.push(thing);
    }
    return id;
  }

  /** What the other side does not know yet. */
  takeNew(): NewThings<T> {
    const taken = { firstId: this.#firstNew, things: this.#new };
    this.#new = [];
    this.#firstNew = this.#size + 1;
    if (this.#size > MAX_THINGS) {
      this.#ids = new WeakMap();
      this.#size = 0;
      this.#firstNew = 1;
    }
    return taken;
  }
}

/** The other side of {@link Numbers}: a message that begins at 1 anew is for all messages from then on. */
class Things<T> {
  #things: (T | undefined)[] = [undefined];

  learn({ firstId, things }: NewThings<T>): void {
    if (firstId === 1 && things.length > 0) this.#things = [undefined];
    things.forEach((thing, index) => (this.#things[firstId + index] = thing));
  }

  get(id: number): T | undefined {
    return this.#things[id];
  }
}

/** On the side that samples. */
export class Sender {
  readonly #frames = new Numbers<Frame>();
  readonly #labels = new Numbers<LabelSet>();
  readonly #tellNames: (names: SentNames) => void;

  constructor(tellNames: (names: SentNames) => void) {
    this.#tellNames = tellNames;
  }

  chunk(chunk: Chunk): SentChunk {
    const frames = Uint32Array.from(chunk.frames, (frame) => this.#frames.id(frame));
    const labels = chunk.labels && Uint32Array.from(chunk.labels, (set) => this.#labels.id(set));
    this.#announce();
    return { ...chunk, frames, labels };
  }

  stacks(stacks: readonly (readonly Frame[])[]): SentStacks {
    const sent = stacks.map((frames) => Uint32Array.from(frames, (frame) => this.#frames.id(frame)));
    this.#announce();
    return sent;
  }

  #announce(): void {
    const names = { frames: this.#frames.takeNew(), labels: this.#labels.takeNew() };
    if (names.frames.things.length + names.labels.things.length > 0) this.#tellNames(names);
  }
}

/** On the side that reads; messages must be taken in the order in which they were sent. */
export class Receiver {
  readonly #frames = new Things<Frame>();
  readonly #labels = new Things<LabelSet>();

  learn({ frames, labels }: SentNames): void {
    this.#frames.learn(frames);
    this.#labels.learn(labels);
  }

  chunk(sent: SentChunk): Chunk {
    return {
      ...sent,
      frames: Array.from(sent.frames, (id) => this.#frames.get(id) ?? UNKNOWN_FRAME),
      labels: sent.labels && Array.from(sent.labels, (id) => this.#labels.get(id)),
    };
  }

  stacks(stacks: SentStacks): Frame[][] {
    return stacks.map((ids) => Array.from(ids, (id) => this.#frames.get(id) ?? UNKNOWN_FRAME));
  }
}
