/**
 * Reads the `mappings` of a source map. A bundle's may have millions of segments: decoded they take a hundred bytes each, so they
 * are read through once for all places that are wanted, and nothing of them is kept.
 */

/** A place in a script; lines and columns begin with 0. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** Where it comes from: which of the map's sources, and where in it. */
export interface OriginalPlace extends Place {
  readonly source: number;
}

const COMMA = 44;
const SEMICOLON = 59;
const DIGIT_BITS = 5;
const CONTINUES = 1 << DIGIT_BITS;

/** Characters read between two breaths, which takes a millisecond. */
const PIECE_CHARS = 64 * 1024;

const DIGITS = digits();

function digits(): Int8Array {
  const values = new Int8Array(128).fill(-1);
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  for (let value = 0; value < alphabet.length; value++) values[alphabet.charCodeAt(value)] = value;
  return values;
}

/**
 * Gives where each of `places` comes from, in their order; undefined where the map does not say. Places come sorted, as segments
 * do. `breathe` is awaited between pieces. Rejects for what are no mappings.
 */
export async function originalPlaces(
  mappings: string,
  places: readonly Place[],
  breathe: () => Promise<void>,
): Promise<(OriginalPlace | undefined)[]> {
  const found: (OriginalPlace | undefined)[] = [];
  const reader = new MappingsReader(mappings);
  let pieceEnd = PIECE_CHARS;
  while (found.length < places.length && reader.next()) {
    for (let place = places[found.length]; place && reader.isPast(place); place = places[found.length])
      found.push(reader.before(place));
    reader.take();
    if (reader.at < pieceEnd) continue;
    pieceEnd = reader.at + PIECE_CHARS;
    await breathe();
  }
  while (found.length < places.length) found.push(reader.before(places[found.length] as Place));
  return found;
}

/** Goes through the segments one by one. */
class MappingsReader {
  /** The next character. */
  at = 0;
  readonly #mappings: string;
  /** Where the segment stands in the script, and what it says. */
  #line = 0;
  #column = 0;
  #source = 0;
  #originalLine = 0;
  #originalColumn = 0;
  #hasOriginal = false;
  /** The one before. */
  #lastLine = -1;
  #last: OriginalPlace | undefined;

  constructor(mappings: string) {
    this.#mappings = mappings;
  }

  /** Reads a segment; false at the end. */
  next(): boolean {
    for (; this.at < this.#mappings.length; this.at++) {
      const code = this.#mappings.charCodeAt(this.at);
      if (code === SEMICOLON) {
        this.#line += 1;
        this.#column = 0;
      } else if (code !== COMMA) break;
    }
    if (this.at >= this.#mappings.length) return false;
    this.#column += this.#number();
    this.#hasOriginal = !this.#atEnd();
    if (!this.#hasOriginal) return true;
    this.#source += this.#number();
    this.#originalLine += this.#number();
    this.#originalColumn += this.#number();
    // The index of a name.
    if (!this.#atEnd()) this.#number();
    return true;
  }

  /** Whether the segment begins behind that place. */
  isPast({ line, column }: Place): boolean {
    return this.#line > line || (this.#line === line && this.#column > column);
  }

  /** What the segment before says of that place. */
  before({ line }: Place): OriginalPlace | undefined {
    return this.#lastLine === line ? this.#last : undefined;
  }

  /** The segment becomes the one before. */
  take(): void {
    this.#lastLine = this.#line;
    this.#last = this.#hasOriginal
      ? { source: this.#source, line: this.#originalLine, column: this.#originalColumn }
      : undefined;
  }

  #atEnd(): boolean {
    const code = this.#mappings.charCodeAt(this.at);
    return Number.isNaN(code) || code === COMMA || code === SEMICOLON;
  }

  #number(): number {
    let value = 0;
    for (let shift = 0; ; shift += DIGIT_BITS) {
      const digit = DIGITS[this.#mappings.charCodeAt(this.at)] ?? -1;
      if (digit < 0) throw new Error('these are no mappings');
      this.at += 1;
      value |= (digit & (CONTINUES - 1)) << shift;
      if ((digit & CONTINUES) === 0) return value & 1 ? -(value >>> 1) : value >>> 1;
    }
  }
}
