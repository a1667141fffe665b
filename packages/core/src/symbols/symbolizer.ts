import { basename, isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PprofFrame } from '../pprof/profile-data.js';
import { within } from '../pprof/within.js';
import {
  parseSourceMap,
  readSourceMap,
  type OriginalOf,
  type Position,
  type SourceMapText,
} from './source-maps.js';
import { trimPath } from './trim-path.js';

/** A function as the engine reports it. */
export interface EngineFrame {
  readonly functionName: string;
  readonly url: string;
  readonly line: number;
  readonly column: number;
}

/** In a busy event loop every step of a read takes a turn, so scripts are not read one after another. */
const READ_AT_ONCE = 128;

/** While all threads of libuv's pool are taken nothing can be read: then positions are shown as they run, until the next time. */
const POOL_PATIENCE_MS = 4000;

/** Scripts whose lack of a map is remembered. */
const MAX_UNMAPPED = 10_000;

/** Turns the engine's frames into what is shown: paths instead of file URLs, source maps applied, a name for everything. */
export class Symbolizer {
  readonly #shown = new WeakMap<EngineFrame, PprofFrame>();
  readonly #unmapped = new Set<string>();
  readonly #trimTo: () => string | undefined;

  /** @param trimTo Gives the folder that paths are made relative to, if any. */
  constructor(trimTo: () => string | undefined = () => undefined) {
    this.#trimTo = trimTo;
  }

  /** A path as it is shown. */
  trimmed(file: string): string {
    const folder = this.#trimTo();
    return folder === undefined ? file : trimPath(file, folder);
  }

  /** Gives the shown frames of these stacks, in the same order; `breathe` is awaited between pieces. */
  async symbolize(
    stacks: readonly (readonly EngineFrame[])[],
    breathe: () => Promise<void>,
  ): Promise<PprofFrame[][]> {
    const newFrames = new Map<string, Set<EngineFrame>>();
    for (const stack of stacks) {
      for (const frame of stack) {
        if (this.#shown.has(frame)) continue;
        const file = pathOf(frame.url);
        const frames = newFrames.get(file);
        if (frames) frames.add(frame);
        else newFrames.set(file, new Set([frame]));
      }
      await breathe();
    }
    const scripts = [...newFrames];
    const unmapped = new Map<EngineFrame, PprofFrame>();
    let patienceMs = POOL_PATIENCE_MS;
    for (let start = 0; start < scripts.length; start += READ_AT_ONCE) {
      const batch = scripts.slice(start, start + READ_AT_ONCE);
      const texts = await within(patienceMs, Promise.all(batch.map(([file]) => this.#readMap(file))));
      if (!texts) patienceMs = 1;
      for (const [index, [file, frames]] of batch.entries()) {
        const text = texts?.[index];
        const originalOf = text === undefined ? undefined : parseSourceMap(text);
        for (const frame of frames) {
          const shown = shownFrame(frame, file, originalOf);
          (texts ? this.#shown : unmapped).set(frame, { ...shown, file: this.trimmed(shown.file) });
          await breathe();
        }
      }
    }
    const shown: PprofFrame[][] = [];
    for (const stack of stacks) {
      shown.push(stack.map((frame) => (this.#shown.get(frame) ?? unmapped.get(frame)) as PprofFrame));
      await breathe();
    }
    return shown;
  }

  /** A map is read when a script has new frames and then let go: the decoded maps of a large program take many megabytes. */
  async #readMap(file: string): Promise<SourceMapText | undefined> {
    if (!isAbsolute(file) || this.#unmapped.has(file)) return undefined;
    const text = await readSourceMap(file);
    if (!text) {
      if (this.#unmapped.size >= MAX_UNMAPPED) this.#unmapped.clear();
      this.#unmapped.add(file);
    }
    return text;
  }
}

function shownFrame(frame: EngineFrame, file: string, originalOf: OriginalOf | undefined): PprofFrame {
  const { line, column } = frame;
  const position = originalOf?.(line, column) ?? { file, line, column };
  return { name: frame.functionName || nameOfAnonymous(frame, position), ...position };
}

function pathOf(url: string): string {
  if (!url.startsWith('file:')) return url;
  try {
    return fileURLToPath(url);
  } catch {
    return url;
  }
}

/** pprof groups by name alone, so without their position all anonymous functions of a program would be one. */
function nameOfAnonymous(frame: EngineFrame, position: Position): string {
  const file = position.file.startsWith('data:') ? position.file : basename(position.file);
  if (file === '') return '(native)';
  if (frame.line === 1 && frame.column === 1) return `(module ${file})`;
  return `(anonymous ${file}:${position.line}:${position.column})`;
}
