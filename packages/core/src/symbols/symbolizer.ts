import { basename, isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PprofFrame } from '../pprof/profile-data.js';
import { SourceMaps } from './source-maps.js';

/** A function as the engine reports it. */
export interface EngineFrame {
  readonly functionName: string;
  readonly url: string;
  readonly line: number;
  readonly column: number;
}

/** Turns the engine's frames into what is shown: paths instead of file URLs, source maps applied, a name for everything. */
export class Symbolizer {
  readonly #sourceMaps = new SourceMaps();
  readonly #shown = new WeakMap<EngineFrame, PprofFrame>();

  /** Gives the shown frames of these stacks, in the same order. */
  async symbolize(stacks: readonly (readonly EngineFrame[])[]): Promise<PprofFrame[][]> {
    const files = new Set<string>();
    for (const stack of stacks) {
      for (const frame of stack) {
        if (this.#shown.has(frame)) continue;
        const path = pathOf(frame.url);
        if (isAbsolute(path)) files.add(path);
      }
    }
    await this.#sourceMaps.load(files);
    return stacks.map((stack) => stack.map((frame) => this.#show(frame)));
  }

  #show(frame: EngineFrame): PprofFrame {
    let shown = this.#shown.get(frame);
    if (!shown) {
      const generated = { file: pathOf(frame.url), line: frame.line, column: frame.column };
      const position = this.#sourceMaps.original(generated) ?? generated;
      shown = { name: frame.functionName || nameOfAnonymous(generated, position), ...position };
      this.#shown.set(frame, shown);
    }
    return shown;
  }
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
function nameOfAnonymous(generated: { line: number; column: number }, shown: PprofFrame | Omit<PprofFrame, 'name'>): string {
  const file = basename(shown.file) || 'native';
  if (generated.line === 1 && generated.column === 1) return `(module ${file})`;
  return `(anonymous ${file}:${shown.line}:${shown.column})`;
}
