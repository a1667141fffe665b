import type { RawNode } from '../engine/engine.js';

/** What a frame stands for: code, or one of V8's names for time without JavaScript. */
export type FrameKind = 'code' | 'idle' | 'program' | 'gc';

/** A function as V8 reports it, before source maps and display names. */
export interface Frame {
  readonly kind: FrameKind;
  /** Empty for an anonymous function. */
  readonly functionName: string;
  /** Script name as `nameOfScript` gives it: a path, a URL, `node:…`, or empty for built-ins. */
  readonly url: string;
  /** 1-based, 0 when unknown. */
  readonly line: number;
  /** 1-based, 0 when unknown. */
  readonly column: number;
}

/** No plain object: functions are called `toString` and `constructor` too. */
const PSEUDO_KINDS = new Map<string, FrameKind>([
  ['(idle)', 'idle'],
  ['(program)', 'program'],
  ['(garbage collector)', 'gc'],
]);

/** A frame for something that is not a JavaScript function. */
export function pseudoFrame(functionName: string): Frame {
  return { kind: PSEUDO_KINDS.get(functionName) ?? 'code', functionName, url: '', line: 0, column: 0 };
}

/** A media type is no longer. */
const MAX_DATA_LENGTH = 128;

/** What a script is called in frames: a `data:` URL holds the whole source, of which only the kind is told. */
export function nameOfScript(url: string): string {
  return url.startsWith('data:') ? (/^[^,;]*/.exec(url.slice(0, MAX_DATA_LENGTH))?.[0] ?? '') : url;
}

/** Code that is generated at run time may add frames for ever; past this many the table starts anew. */
const MAX_FRAMES = 100_000;

/**
 * FrameTable gives one Frame object per function, so that stacks of different harvests compare by identity.
 *
 * Keys are numbers because reading a name from V8 copies a string, for every node of every harvest.
 */
export class FrameTable {
  #scripts = new Map<number, Map<number, Frame>>();
  #builtins = new Map<string, Frame>();
  #size = 0;

  intern(node: RawNode): Frame {
    const { scriptId } = node;
    if (scriptId === 0) return this.#internBuiltin(node);
    let script = this.#scripts.get(scriptId);
    if (!script) this.#scripts.set(scriptId, (script = new Map<number, Frame>()));
    const { lineNumber: line, columnNumber: column } = node;
    const position = line * 0x4000000 + column;
    let frame = script.get(position);
    if (!frame) {
      frame = { kind: 'code', functionName: node.name, url: nameOfScript(node.scriptName), line, column };
      script.set(position, frame);
      this.#grow();
    }
    return frame;
  }

  #internBuiltin({ name, scriptName, lineNumber, columnNumber }: RawNode): Frame {
    const key = scriptName === '' ? name : `${name} ${scriptName}:${lineNumber}:${columnNumber}`;
    let frame = this.#builtins.get(key);
    if (!frame) {
      frame = { ...pseudoFrame(name), url: nameOfScript(scriptName), line: lineNumber, column: columnNumber };
      this.#builtins.set(key, frame);
      this.#grow();
    }
    return frame;
  }

  #grow(): void {
    this.#size += 1;
    if (this.#size <= MAX_FRAMES) return;
    this.#scripts = new Map();
    this.#builtins = new Map();
    this.#size = 0;
  }
}
