/** Finds and reads the source maps of running scripts, so that profiles show the file that somebody wrote. */
import { open, type FileHandle } from 'node:fs/promises';
import { findSourceMap } from 'node:module';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { originalPositionFor, TraceMap, type SourceMapInput } from '@jridgewell/trace-mapping';

/** A place in a source file: 1-based, 0 when unknown. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** Where a position (1-based) of the generated script comes from; undefined where the map does not cover it. */
export type OriginalOf = (line: number, column: number) => Position | undefined;

/** A script that carries its map may be this large, and the map itself this: parsing takes 30 ms of event loop per MiB. */
const MAX_SCRIPT_BYTES = 1024 * 1024;
const MAX_MAP_BYTES = 512 * 1024;

/** The comment stands in the last line; only an inline map makes that line longer than this. */
const TAIL_BYTES = 4096;

const URL_COMMENT = /\/\/[#@] ?sourceMappingURL=(\S+)\s*$/;
const INLINE = /^data:application\/json[^,]*;base64,/;

/** A map as it was found, not parsed yet, and the file that its paths are relative to. */
export interface SourceMapText {
  readonly map: SourceMapInput;
  readonly base: string;
}

/** Reads the map of the script at that absolute path; undefined when it has none that can be read. Never rejects. */
export async function readSourceMap(file: string): Promise<SourceMapText | undefined> {
  try {
    return registeredMap(file) ?? (await mapOnDisk(file));
  } catch {
    return undefined;
  }
}

/** Parses a map, which takes its time for a large one; undefined when it is none. */
export function parseSourceMap({ map, base }: SourceMapText): OriginalOf | undefined {
  try {
    const parsed = new TraceMap(map, base);
    return (line, column) => {
      if (line < 1) return undefined;
      const found = originalPositionFor(parsed, { line, column: Math.max(0, column - 1) });
      // What a module does when it is loaded begins where the compiler has put something of its own.
      const [source, another] = parsed.resolvedSources;
      if (found.source === null && line === 1 && column === 1 && source && !another)
        return { file: toPath(source), line: 1, column: 1 };
      return found.source === null
        ? undefined
        : { file: toPath(found.source), line: found.line, column: found.column + 1 };
    };
  } catch {
    return undefined;
  }
}

/** Loaders that compile in memory (tsx, ts-node) register their maps with Node; the file on disk is the original there. */
function registeredMap(file: string): SourceMapText | undefined {
  // Jest's stand-in for node:module has no findSourceMap.
  if (typeof findSourceMap !== 'function') return undefined;
  const found = findSourceMap(file);
  return found && { map: found.payload as unknown as SourceMapInput, base: file };
}

async function mapOnDisk(file: string): Promise<SourceMapText | undefined> {
  const url = await mappingUrl(file);
  if (url === undefined) return undefined;
  const inline = INLINE.exec(url);
  if (inline) return { map: Buffer.from(url.slice(inline[0].length), 'base64').toString('utf8'), base: file };
  const mapFile = url.startsWith('file:') ? fileURLToPath(url) : resolve(dirname(file), decodeURI(url));
  const map = await readText(mapFile, MAX_MAP_BYTES);
  return map === undefined ? undefined : { map, base: mapFile };
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
    if (lastLineIsWhole) return undefined;
  } finally {
    closeSoon(handle);
  }
  return URL_COMMENT.exec((await readText(file, MAX_SCRIPT_BYTES)) ?? '')?.[1];
}

async function readText(file: string, maxBytes: number): Promise<string | undefined> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    return size > maxBytes ? undefined : await handle.readFile('utf8');
  } finally {
    closeSoon(handle);
  }
}

/** Nobody waits for a file to be closed: in a busy event loop every step takes a turn. */
function closeSoon(handle: FileHandle): void {
  handle.close().catch(() => {});
}

function toPath(source: string): string {
  return source.startsWith('file:') ? fileURLToPath(source) : source;
}
