/** Finds and reads the source maps of running scripts, so that profiles show the file that somebody wrote. */
import { open } from 'node:fs/promises';
import { findSourceMap } from 'node:module';
import { dirname, isAbsolute, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { originalPositionFor, TraceMap } from '@jridgewell/trace-mapping';

export interface Position {
  /** Absolute path. */
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** Larger scripts and maps stay unread: parsing one would hold up the event loop for longer than its lines are worth. */
const MAX_READ_BYTES = 16 * 1024 * 1024;

/** The comment stands in the last line; only an inline map makes that line longer than this. */
const TAIL_BYTES = 4096;

/** Scripts whose outcome is remembered. */
const MAX_SCRIPTS = 10_000;

const URL_COMMENT = /\/\/[#@] ?sourceMappingURL=(\S+)\s*$/;
const INLINE = /^data:application\/json[^,]*;base64,/;

export class SourceMaps {
  readonly #maps = new Map<string, TraceMap | null>();

  /** Reads the maps of these scripts (absolute paths) unless that was done before. Never rejects: no map, no mapping. */
  async load(files: Iterable<string>): Promise<void> {
    for (const file of files) {
      if (this.#maps.has(file)) continue;
      if (this.#maps.size >= MAX_SCRIPTS) this.#maps.clear();
      this.#maps.set(file, await readMap(file));
    }
  }

  /** Where that position of a loaded script comes from; undefined when it has no map or the map does not cover it. */
  original({ file, line, column }: Position): Position | undefined {
    const map = this.#maps.get(file);
    if (!map || line < 1) return undefined;
    const found = originalPositionFor(map, { line, column: Math.max(0, column - 1) });
    if (found.source === null) return undefined;
    return { file: toPath(found.source), line: found.line, column: found.column + 1 };
  }
}

async function readMap(file: string): Promise<TraceMap | null> {
  try {
    const registered = registeredMap(file);
    if (registered) return new TraceMap(registered as ConstructorParameters<typeof TraceMap>[0], file);
    const url = await mappingUrl(file);
    if (url === undefined) return null;
    const inline = INLINE.exec(url);
    if (inline) return new TraceMap(Buffer.from(url.slice(inline[0].length), 'base64').toString('utf8'), file);
    const mapFile = url.startsWith('file:') ? fileURLToPath(url) : resolve(dirname(file), decodeURI(url));
    const text = await readText(mapFile);
    return text === undefined ? null : new TraceMap(text, mapFile);
  } catch {
    return null;
  }
}

/** Loaders that compile in memory (tsx, ts-node) register their maps with Node; the file on disk is the original there. */
function registeredMap(file: string): unknown {
  // Jest's stand-in for node:module has no findSourceMap.
  return typeof findSourceMap === 'function' ? findSourceMap(file)?.payload : undefined;
}

async function mappingUrl(file: string): Promise<string | undefined> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const tail = Buffer.alloc(Math.min(size, TAIL_BYTES));
    await handle.read(tail, 0, tail.length, size - tail.length);
    const text = tail.toString('latin1');
    const found = URL_COMMENT.exec(text)?.[1];
    if (found !== undefined) return found;
    const lastLineIsWhole = size <= TAIL_BYTES || text.trimEnd().includes('\n');
    if (lastLineIsWhole || size > MAX_READ_BYTES) return undefined;
  } finally {
    await handle.close();
  }
  return URL_COMMENT.exec((await readText(file)) ?? '')?.[1];
}

async function readText(file: string): Promise<string | undefined> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    return size > MAX_READ_BYTES ? undefined : await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

function toPath(source: string): string {
  if (source.startsWith('file:')) return fileURLToPath(source);
  return isAbsolute(source) ? resolve(source) : source;
}
