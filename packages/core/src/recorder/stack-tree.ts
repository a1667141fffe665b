import type { Frame } from './frames.js';

/** StackTree merges the call trees of several harvests; a node stands for one stack. Node 0 is the root, which is no frame. */
export class StackTree {
  readonly #parents: number[] = [0];
  readonly #frames: (Frame | undefined)[] = [undefined];
  readonly #children: (Map<Frame, number> | undefined)[] = [undefined];

  /** Nodes, the root included. */
  get size(): number {
    return this.#parents.length;
  }

  child(parent: number, frame: Frame): number {
    const children = (this.#children[parent] ??= new Map<Frame, number>());
    let node = children.get(frame);
    if (node === undefined) {
      node = this.#parents.push(parent) - 1;
      this.#frames.push(frame);
      this.#children.push(undefined);
      children.set(frame, node);
    }
    return node;
  }

  /** The nodes but for the root, each after its parent: its frame, and the node it hangs on. */
  *nodes(): Generator<{ node: number; parent: number; frame: Frame }, void> {
    for (let node = 1; node < this.#parents.length; node++)
      yield { node, parent: this.#parents[node] as number, frame: this.#frames[node] as Frame };
  }

  /** The frames of a node, leaf first. */
  stack(node: number): Frame[] {
    const frames: Frame[] = [];
    for (let at = node; at !== 0; at = this.#parents[at] as number) frames.push(this.#frames[at] as Frame);
    return frames;
  }
}
