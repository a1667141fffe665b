/** Finds and reads the source maps of running scripts, so that profiles show the file that somebody wrote. */
import { open, stat, type FileHandle } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TraceMap } from '@jridgewell/trace-mapping';
import { originalPlaces, type Place } from './mappings.js';

/** A place in a source file: 1-based, 0 when unknown. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** A map as its format has it, as far as it is read. */
export interface SourceMap {
  readonly sources?: readonly (string | null)[] | undefined;
  readonly sourceRoot?: string | null | undefined;
  readonly mappings?: string | undefined;
  readonly sections?: readonly { readonly offset: Place; readonly map: SourceMap }[] | undefined;
}

/** A map that was found, and the file that its paths are relative to. */
export interface FoundMap {
  readonly base: string;
  readonly sizeBytes: number;
  /** Its text, or what that says. May reject. */
  read(): Promise<string | SourceMap>;
}

/** The comment stands in the last line; only an inline map makes that line longer than this. */
const TAIL_BYTES = 4096;

const SPACE = 32;

/** What is read at once of a longer one, to find where it begins. */
const PIECE_BYTES = 1024 * 1024;

const NAME = 'sourceMappingURL=';
const LONGEST_NAME = `//# ${NAME}`.length;
const COMMENT = /^\/\/[#@] ?sourceMappingURL=(\S+)\s*$/;
const INLINE_COMMENT = /^\/\/[#@] ?sourceMappingURL=data:application\/json[^,]*;base64,/;

/** Finds the map of the script at that absolute path; undefined when it has none that can be read. Never rejects. */
export async function findSourceMap(file: string): Promise<FoundMap | undefined> {
  try {
    const comment = await findComment(file);
    if (!comment) return undefined;
    const text = await readComment(file, { ...comment, sizeBytes: Math.min(comment.sizeBytes, TAIL_BYTES) });
    if (INLINE_COMMENT.test(text)) return inlineMap(file, comment);
    const url = comment.sizeBytes > TAIL_BYTES ? undefined : COMMENT.exec(text)?.[1];
    if (url === undefined) return undefined;
    const mapFile = url.startsWith('file:') ? fileURLToPath(url) : resolve(dirname(file), decodeURI(url));
    const { size } = await stat(mapFile);
    return { base: mapFile, sizeBytes: size, read: () => readText(mapFile) };
  } catch {
    return undefined;
  }
}

/** Gives what these places (1-based) of a script come from; undefined where the map does not say. Rejects for what is no map. */
export async function originalPositions(
  given: string | SourceMap,
  {
    base,
    positions,
    breathe,
  }: {
    readonly base: string;
    readonly positions: readonly Omit<Position, 'file'>[];
    readonly breathe: () => Promise<void>;
  },
): Promise<(Position | undefined)[]> {
  const map = typeof given === 'string' ? (JSON.parse(given) as SourceMap) : given;
  const order = [...positions.keys()].sort((a, b) => compare(positions[a]!, positions[b]!));
  const places = order.map((at) => ({
    line: positions[at]!.line - 1,
    column: Math.max(0, positions[at]!.column - 1),
  }));
  const found: (Position | undefined)[] = [];
  const sections = map.sections ?? [{ offset: { line: 0, column: 0 }, map }];
  let next = 0;
  for (const [index, { offset, map: part }] of sections.entries()) {
    const end = sections[index + 1]?.offset;
    const inside: Place[] = [];
    const first = next;
    for (let place = places[next]; place && (!end || compare(place, end) < 0); place = places[++next])
      inside.push(within(offset, place));
    const sources = resolvedSources(part, base);
    const originals = await originalPlaces(part.mappings ?? '', inside, breathe);
    for (const [at, original] of originals.entries()) {
      found[order[first + at]!] = original ? positionOf(original, sources) : undefined;
    }
  }
  return positions.map((position, index) => found[index] ?? ofModule(position, map, base));
}

function compare(a: Place, b: Place): number {
  return a.line - b.line || a.column - b.column;
}

function within(offset: Place, { line, column }: Place): Place {
  return { line: line - offset.line, column: line === offset.line ? column - offset.column : column };
}

function positionOf(
  { source, line, column }: { source: number; line: number; column: number },
  sources: readonly (string | null)[],
): Position | undefined {
  const file = sources[source];
  return file ? { file: toPath(file), line: line + 1, column: column + 1 } : undefined;
}

/** What a module does when it is loaded begins where the compiler has put something of its own. */
function ofModule(
  { line, column }: Omit<Position, 'file'>,
  map: SourceMap,
  base: string,
): Position | undefined {
  if (line !== 1 || column !== 1 || map.sections) return undefined;
  const [source, another] = resolvedSources(map, base);
  return source && !another ? { file: toPath(source), line: 1, column: 1 } : undefined;
}

function resolvedSources({ sources = [], sourceRoot }: SourceMap, base: string): readonly (string | null)[] {
  const map = { version: 3 as const, names: [], mappings: '', sources: [...sources], sourceRoot };
  return new TraceMap(map as ConstructorParameters<typeof TraceMap>[0], base).resolvedSources;
}

/** Where in a file the comment is that names its map. */
interface Comment {
  readonly start: number;
  readonly sizeBytes: number;
}

/** Looks from the end of the file to the beginning of its last line. */
async function findComment(file: string): Promise<Comment | undefined> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    let pieceBytes = TAIL_BYTES;
    for (let end = size; end > 0;) {
      const from = Math.max(0, end - pieceBytes);
      // What begins in one piece may end in the next.
      const piece = await readPiece(handle, from, Math.min(size, end + LONGEST_NAME));
      const text = piece.toString('latin1', 0, end === size ? lengthWithoutEnd(piece) : piece.length);
      const at = text.lastIndexOf(NAME);
      const lineAt = text.lastIndexOf('\n');
      const start = at < 0 ? -1 : text.lastIndexOf('//', at);
      if (start > lineAt) return { start: from + start, sizeBytes: size - from - start };
      if (lineAt >= 0) return undefined;
      end = from;
      pieceBytes = PIECE_BYTES;
    }
    return undefined;
  } finally {
    closeSoon(handle);
  }
}

/** How long it is without the line breaks and spaces that it ends with. */
function lengthWithoutEnd(bytes: Buffer): number {
  let length = bytes.length;
  while (length > 0 && bytes[length - 1]! <= SPACE) length -= 1;
  return length;
}

async function readComment(file: string, { start, sizeBytes }: Comment): Promise<string> {
  const handle = await open(file, 'r');
  try {
    return (await readPiece(handle, start, start + sizeBytes)).toString('latin1');
  } finally {
    closeSoon(handle);
  }
}

function inlineMap(file: string, comment: Comment): FoundMap {
  return {
    base: file,
    sizeBytes: Math.ceil((comment.sizeBytes * 3) / 4),
    read: async () => {
      const text = await readComment(file, comment);
      const [head = ''] = INLINE_COMMENT.exec(text) ?? [];
      return Buffer.from(text.slice(head.length), 'base64').toString('utf8');
    },
  };
}

async function readText(file: string): Promise<string> {
  const handle = await open(file, 'r');
  try {
    return await handle.readFile('utf8');
  } finally {
    closeSoon(handle);
  }
}

async function readPiece(handle: FileHandle, start: number, end: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(end - start), 0, end - start, start);
  return buffer.subarray(0, bytesRead);
}

/** Nobody waits for a file to be closed: in a busy event loop every step takes a turn. */
function closeSoon(handle: FileHandle): void {
  handle.close().catch(() => {});
}

function toPath(source: string): string {
  return source.startsWith('file:') ? fileURLToPath(source) : source;
}
