import type { HeapSampler, RawHeapNode } from '../engine/engine.js';
import { LoopprofError, messageOf } from '../errors.js';
import { FrameTable, type Frame } from './frames.js';
import { collectGarbage } from './garbage.js';
import { StackTree } from './stack-tree.js';

/** What one stack has allocated and still holds; V8's values are already scaled up from the samples. */
export interface HeapStack {
  /** Leaf first. */
  readonly frames: readonly Frame[];
  readonly objects: number;
  readonly sizeBytes: number;
}

export interface HeapReading {
  readonly stacks: readonly HeapStack[];
  /** Allocations from before this moment are not in it. Microseconds since the epoch. */
  readonly sinceMicros: number;
  /** Whether another tool had stopped V8's one heap sampler, so that it counts anew from `sinceMicros`. */
  readonly restarted: boolean;
  /** Mean distance between two samples. */
  readonly intervalBytes: number;
  /** The process's memory at that moment. */
  readonly memory: NodeJS.MemoryUsage;
}

/** Where readings of the heap come from. */
export interface HeapSource {
  /** The sampled live allocations, after a collection if `gc` asks for one. */
  read(options: { gc: boolean }): HeapReading | Promise<HeapReading>;
}

/** Deeper callers are cut off; V8 keeps this many frames from the leaf. */
const STACK_DEPTH = 128;

/** The always-on heap sampler, and what it holds now. */
export class HeapRecorder implements HeapSource {
  #sampler: HeapSampler;
  readonly #intervalBytes: number;
  readonly #frameTable = new FrameTable();
  #sinceMicros = 0;
  #restarted = false;
  #exportCommand: readonly string[] | undefined;

  constructor(sampler: HeapSampler, intervalBytes: number) {
    this.#sampler = sampler;
    this.#intervalBytes = intervalBytes;
  }

  start(): void {
    this.#sampler.start({ intervalBytes: this.#intervalBytes, stackDepth: STACK_DEPTH });
    this.#sinceMicros = Date.now() * 1000;
    this.#restarted = false;
    if (this.#exportCommand) this.#sampler.exportWhenExhausted?.(this.#exportCommand);
  }

  /**
   * Runs `command` before the process dies of heap exhaustion, with the path of a file behind it that `readHeapExport()` reads.
   * Gives false where the engine cannot. There is one for all: the first stays.
   */
  exportWhenExhausted(command: readonly string[]): boolean {
    if (!this.#sampler.exportWhenExhausted) return false;
    if (this.#exportCommand) return true;
    this.#sampler.exportWhenExhausted(command);
    this.#exportCommand = command;
    return true;
  }

  stop(): void {
    if (this.#sinceMicros === 0) return;
    this.#sinceMicros = 0;
    this.#sampler.stop();
  }

  /** Goes on with another engine's way to V8's one heap sampler, which runs on. */
  useSampler(sampler: HeapSampler): void {
    if (this.#sinceMicros === 0) return;
    sampler.start({ intervalBytes: this.#intervalBytes, stackDepth: STACK_DEPTH });
    this.#sampler = sampler;
  }

  /**
   * V8 has one heap sampler per isolate and lets anybody stop it (DevTools does): then it is
   * started again and the reading says so.
   */
  read({ gc }: { gc: boolean }): HeapReading {
    if (this.#sinceMicros === 0)
      throw new LoopprofError('LOOPPROF_NOT_STARTED', 'The heap sampler is not running.');
    if (gc) collectGarbage();
    return {
      stacks: this.#stacks(),
      sinceMicros: this.#sinceMicros,
      restarted: this.#restarted,
      intervalBytes: this.#intervalBytes,
      memory: process.memoryUsage(),
    };
  }

  #stacks(): HeapStack[] {
    const convert = (root: RawHeapNode): HeapStack[] => stacksOf(root, this.#frameTable);
    try {
      return this.#sampler.read(convert);
    } catch {
      try {
        this.start();
        this.#restarted = true;
        return this.#sampler.read(convert);
      } catch (error) {
        throw new LoopprofError(
          'LOOPPROF_ENGINE_UNAVAILABLE',
          `Another tool has stopped V8's heap sampler and it could not be started again: ${messageOf(error)}`,
          { cause: error },
        );
      }
    }
  }
}

/** The live allocations that were exported when the heap was exhausted. */
export function readHeapExport(json: string): HeapStack[] {
  return stacksOf(JSON.parse(json) as RawHeapNode, new FrameTable());
}

function stacksOf(root: RawHeapNode, frameTable: FrameTable): HeapStack[] {
  const tree = new StackTree();
  const stacks: HeapStack[] = [];
  const pending: { raw: RawHeapNode; node: number }[] = [{ raw: root, node: 0 }];
  for (;;) {
    const next = pending.pop();
    if (!next) return stacks;
    const { raw, node } = next;
    let objects = 0;
    let sizeBytes = 0;
    for (const { count, sizeBytes: each } of raw.allocations) {
      objects += count;
      sizeBytes += each * count;
    }
    if (objects > 0) stacks.push({ frames: tree.stack(node), objects, sizeBytes });
    for (const child of raw.children) {
      pending.push({ raw: child, node: tree.child(node, frameTable.intern(child)) });
    }
  }
}
