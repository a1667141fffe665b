import { pseudoFrame, type Frame } from './frames.js';
import { StackTree } from './stack-tree.js';

/** Stacks that differ without end (generated code) must not fill the memory; some 100 bytes each. */
const MAX_NODES = 200_000;

const LOST: readonly Frame[] = [pseudoFrame('(stack not kept)')];

/** StackIds gives a number per distinct stack, so that what has a stack needs no array of its own. */
export class StackIds {
  readonly #tree = new StackTree();
  #size = 0;

  /** The number of a stack given leaf first; 0 when there are too many. */
  idOf(frames: readonly Frame[]): number {
    let node = 0;
    for (let index = frames.length - 1; index >= 0; index--) {
      if (this.#size > MAX_NODES) return 0;
      const child = this.#tree.child(node, frames[index] as Frame);
      if (child > this.#size) this.#size = child;
      node = child;
    }
    return node;
  }

  /** The frames of a number, leaf first. */
  framesOf(id: number): readonly Frame[] {
    return id === 0 ? LOST : this.#tree.stack(id);
  }
}
