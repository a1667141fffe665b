import { basename, isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PprofFrame } from '../pprof/profile-data.js';
import { within } from '../pprof/within.js';
import { registeredMaps, type RegisteredMap } from './registered-maps.js';
import { findSourceMap, originalPositions, type FoundMap, type Position } from './source-maps.js';
import { trimPath } from './trim-path.js';

/** A function as the engine reports it. */
export interface EngineFrame {
  readonly functionName: string;
  readonly url: string;
  readonly line: number;
  readonly column: number;
}

/** Stacks as they are shown, in the order they came in, and what is to be said of them. */
export interface Shown {
  readonly stacks: PprofFrame[][];
  readonly notes: readonly string[];
}

export interface SymbolizerOptions {
  /** Gives the folder that paths are made relative to, if any. */
  readonly trimTo?: () => string | undefined;
  /** Larger maps are left out. */
  readonly maxMapBytes?: number;
  /**
   * Gives the maps that are registered on the thread whose frames they are, maybe of the first of these scripts only, as
   * `registeredMaps()` does; undefined while it cannot be asked.
   */
  readonly registered?: (
    files: readonly string[],
    breathe: () => Promise<void>,
  ) => Promise<readonly (RegisteredMap | undefined)[] | undefined>;
}

/** On the main thread: reading a map in holds the event loop for 5 ms per MiB at a time. */
export const MAX_MAP_BYTES = 2 * 1024 * 1024;

/** Where nobody waits for the event loop. Reading a map in takes three times its size of memory for a moment. */
export const MAX_MAP_BYTES_OFF_THREAD = 32 * 1024 * 1024;

/** Larger ones are read in one after another. */
const LARGE_MAP_BYTES = 512 * 1024;

/** In a busy event loop every step of a read takes a turn, so scripts are not read one after another. */
const READ_AT_ONCE = 128;

/** While all threads of libuv's pool are taken nothing can be read: then positions are shown as they run, until the next time. */
const POOL_PATIENCE_MS = 4000;

/** Scripts whose lack of a map is remembered. */
const MAX_UNMAPPED = 10_000;

/** Scripts that are named where their maps are left out. */
const MAX_NAMED = 3;

/** A script's map, or that none is to be applied; undefined while that is not known. */
type Known = FoundMap | 'none' | undefined;

/** Turns the engine's frames into what is shown: paths instead of file URLs, source maps applied, a name for everything. */
export class Symbolizer {
  readonly #shown = new WeakMap<EngineFrame, PprofFrame>();
  readonly #unmapped = new Set<string>();
  /** Scripts whose maps are too large, and how large they are. */
  readonly #leftOut = new Map<string, number>();
  #lastLarge: Promise<void> = Promise.resolve();
  readonly #trimTo: () => string | undefined;
  readonly #maxMapBytes: number;
  readonly #registered: NonNullable<SymbolizerOptions['registered']>;

  constructor({ trimTo, maxMapBytes = MAX_MAP_BYTES, registered = registeredMaps }: SymbolizerOptions = {}) {
    this.#trimTo = trimTo ?? (() => undefined);
    this.#maxMapBytes = maxMapBytes;
    this.#registered = registered;
  }

  /** A path as it is shown. */
  trimmed(file: string): string {
    const folder = this.#trimTo();
    return folder === undefined ? file : trimPath(file, folder);
  }

  /** Gives what is shown for these stacks; `breathe` is awaited between pieces. */
  async symbolize(stacks: readonly (readonly EngineFrame[])[], breathe: () => Promise<void>): Promise<Shown> {
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
    const forNow = new Map<EngineFrame, PprofFrame>();
    let patienceMs = POOL_PATIENCE_MS;
    for (let start = 0; start < scripts.length; start += READ_AT_ONCE) {
      const batch = scripts.slice(start, start + READ_AT_ONCE);
      const files = batch.map(([file]) => file);
      const maps = await within(patienceMs, this.#findMaps(files, breathe));
      if (!maps) patienceMs = 1;
      for (const [index, [file, frames]] of batch.entries()) {
        const map = maps?.[index];
        const show = async (): Promise<void> => {
          // Who was at it before may have shown them.
          const left = [...frames].filter((frame) => !this.#shown.has(frame));
          const originals = left.length === 0 ? [] : await originalsOf(left, map, breathe);
          for (const [at, frame] of left.entries()) {
            const shown = shownFrame(frame, file, originals?.[at]);
            (originals ? this.#shown : forNow).set(frame, { ...shown, file: this.trimmed(shown.file) });
            await breathe();
          }
        };
        await (isLarge(map) ? this.#alone(show) : show());
      }
    }
    const shown: PprofFrame[][] = [];
    for (const stack of stacks) {
      shown.push(stack.map((frame) => (this.#shown.get(frame) ?? forNow.get(frame)) as PprofFrame));
      await breathe();
    }
    return { stacks: shown, notes: this.#notesOn(stacks) };
  }

  /** However many ask at the same time: one large map after the other is in memory. */
  async #alone(work: () => Promise<void>): Promise<void> {
    const before = this.#lastLarge;
    const done = before.then(work);
    this.#lastLarge = done.catch(() => {});
    await done;
  }

  /** A map is read when a script has new frames and then let go: those of a large program take many megabytes. */
  async #findMaps(files: readonly string[], breathe: () => Promise<void>): Promise<Known[]> {
    const onDisk = await Promise.all(files.map((file) => this.#findOnDisk(file)));
    let others = files.filter((_file, index) => onDisk[index] === undefined);
    const registered = new Map<string, RegisteredMap | undefined>();
    while (others.length > 0) {
      const answer = (await this.#registered(others, breathe)) ?? [];
      if (answer.length === 0) break;
      for (const [index, map] of answer.entries()) registered.set(others[index] as string, map);
      others = others.slice(answer.length);
    }
    return files.map((file, index) => {
      const known = onDisk[index];
      if (known !== undefined) return known;
      return registered.has(file) ? this.#acceptRegistered(file, registered.get(file)) : undefined;
    });
  }

  async #findOnDisk(file: string): Promise<Known> {
    if (!isAbsolute(file) || this.#unmapped.has(file)) return 'none';
    const found = await findSourceMap(file);
    if (!found) return undefined;
    const map = this.#accept(file, found);
    return map === 'none' || isLarge(map) ? map : readNow(map);
  }

  #accept(file: string, map: FoundMap): FoundMap | 'none' {
    return map.sizeBytes <= this.#maxMapBytes ? map : this.#leaveOut(file, map.sizeBytes);
  }

  #acceptRegistered(file: string, registered: RegisteredMap | undefined): FoundMap | 'none' {
    const { map, sizeBytes } = registered ?? {};
    if (!map || sizeBytes === undefined) return this.#leaveOut(file, sizeBytes);
    return this.#accept(file, { base: file, sizeBytes, read: () => Promise.resolve(map) });
  }

  /** Remembers that there is no map of a script, or that it is too large. */
  #leaveOut(file: string, sizeBytes?: number): 'none' {
    if (this.#unmapped.size >= MAX_UNMAPPED) {
      this.#unmapped.clear();
      this.#leftOut.clear();
    }
    this.#unmapped.add(file);
    if (sizeBytes !== undefined) this.#leftOut.set(file, sizeBytes);
    return 'none';
  }

  #notesOn(stacks: readonly (readonly EngineFrame[])[]): string[] {
    if (this.#leftOut.size === 0) return [];
    const urls = new Set(stacks.flatMap((stack) => stack.map(({ url }) => url)));
    const files = [...urls].map(pathOf).filter((file) => this.#leftOut.has(file));
    if (files.length === 0) return [];
    const named = files
      .slice(0, MAX_NAMED)
      .map((file) => `${this.trimmed(file)} (${mebibytes(this.#leftOut.get(file) ?? 0)})`);
    const more = files.length > named.length ? ` and ${files.length - named.length} more` : '';
    return [`source maps that are too large are left out: of ${named.join(', ')}${more}`];
  }
}

function isLarge(map: Known): boolean {
  return map !== undefined && map !== 'none' && map.sizeBytes > LARGE_MAP_BYTES;
}

/** Read beforehand, with those of other scripts. */
async function readNow(map: FoundMap): Promise<Known> {
  try {
    const text = await map.read();
    return { ...map, read: () => Promise.resolve(text) };
  } catch {
    return undefined;
  }
}

/** What those frames come from; undefined while that is not known. */
async function originalsOf(
  frames: readonly EngineFrame[],
  map: Known,
  breathe: () => Promise<void>,
): Promise<readonly (Position | undefined)[] | undefined> {
  if (map === undefined) return undefined;
  if (map === 'none') return [];
  try {
    const text = await within(POOL_PATIENCE_MS, map.read());
    return text === undefined
      ? undefined
      : await originalPositions(text, { base: map.base, positions: frames, breathe });
  } catch {
    return [];
  }
}

function mebibytes(sizeBytes: number): string {
  return `${Math.round((sizeBytes / 1024 / 1024) * 10) / 10} MiB`;
}

function shownFrame(frame: EngineFrame, file: string, original: Position | undefined): PprofFrame {
  const { line, column } = frame;
  const position = original ?? { file, line, column };
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
