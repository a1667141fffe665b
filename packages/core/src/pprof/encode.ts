import { promisify } from 'node:util';
import { constants, gzip, gzipSync } from 'node:zlib';
import {
  emptyTableToken,
  Profile,
  StringTable,
  type FunctionInput,
  type LocationInput,
  type ProfileInput,
  type SampleInput,
} from 'pprof-format';
import { ADDRESS_LIMIT, ADDRESS_START, addressOf, frameKey } from './addresses.js';
import type { PprofFrame, PprofSample, ProfileData, ValueType } from './profile-data.js';
import { within } from './within.js';

const gzipAsync = promisify(gzip);

/** How long a thread of libuv's pool is waited for. */
const POOL_PATIENCE_MS = 500;

/** Samples converted between two breaths. */
const SAMPLES_PER_PIECE = 16;

/** The same for locations and functions. */
const LOCATIONS_PER_PIECE = 128;

/** Gives the gzip'd `profile.proto` of a profile. `breathe` is awaited between pieces; the compression runs off the event loop. */
export async function encodeProfile(
  data: ProfileData,
  { mappingFile, breathe }: { mappingFile: string; breathe: () => Promise<void> },
): Promise<Uint8Array> {
  const builder = new ProfileBuilder(data, mappingFile);
  const pieces: Uint8Array[] = [];
  for (let start = 0; start < data.samples.length; start += SAMPLES_PER_PIECE) {
    pieces.push(builder.encodeSamples(data.samples.slice(start, start + SAMPLES_PER_PIECE)));
    await breathe();
  }
  for (const piece of builder.encodeRest()) {
    pieces.push(piece);
    await breathe();
  }
  return compress(Buffer.concat(pieces));
}

/** Off the event loop, unless the threads that do it are all taken: that profiles must be able to show. */
async function compress(bytes: Uint8Array): Promise<Uint8Array> {
  const options = { level: constants.Z_BEST_SPEED };
  return (await within(POOL_PATIENCE_MS, gzipAsync(bytes, options))) ?? gzipSync(bytes, options);
}

/** A part without a string table of its own, which would begin with the empty string once more. */
function encodePart(part: ProfileInput): Uint8Array {
  return new Profile({ ...part, stringTable: new StringTable(emptyTableToken) }).encode();
}

/** ProfileBuilder numbers what a profile refers to: ids run 1..n in order, as Parca demands, and there is one mapping. */
class ProfileBuilder {
  readonly #data: ProfileData;
  readonly #mappingFile: string;
  readonly #strings = new StringTable();
  readonly #functions: FunctionInput[] = [];
  readonly #functionIds = new Map<string, number>();
  readonly #locations: LocationInput[] = [];
  readonly #locationIds = new Map<string, number>();
  readonly #idsByFrame = new Map<PprofFrame, number>();
  readonly #addresses = new Set<number>();

  constructor(data: ProfileData, mappingFile: string) {
    this.#data = data;
    this.#mappingFile = mappingFile;
  }

  encodeSamples(samples: readonly PprofSample[]): Uint8Array {
    const sample = samples.map(({ stack, values, labels, numLabels }): SampleInput => {
      return {
        locationId: stack.map((frame) => this.#locationId(frame)),
        value: [...values],
        label: [
          ...Object.entries(labels ?? {}).map(([key, str]) => ({
            key: this.#string(key),
            str: this.#string(str),
          })),
          ...Object.entries(numLabels ?? {}).map(([key, { value, unit }]) => ({
            key: this.#string(key),
            num: value,
            numUnit: this.#string(unit),
          })),
        ],
      };
    });
    return encodePart({ sample });
  }

  /** What the samples refer to, and what is said once: parts of a protobuf message may follow each other in any order. */
  *encodeRest(): Generator<Uint8Array, void> {
    const { sampleTypes, periodType, period, timeNanos, durationNanos, defaultSampleType, comments } =
      this.#data;
    const head: ProfileInput = {
      sampleType: sampleTypes.map((type) => this.#valueType(type)),
      mapping: [
        {
          id: 1,
          memoryStart: ADDRESS_START,
          memoryLimit: ADDRESS_LIMIT,
          filename: this.#string(this.#mappingFile),
          hasFunctions: true,
          hasFilenames: true,
          hasLineNumbers: true,
        },
      ],
      timeNanos,
      ...(durationNanos === undefined ? {} : { durationNanos }),
      periodType: this.#valueType(periodType),
      period,
      comment: comments.map((comment) => this.#string(comment)),
      ...(defaultSampleType === undefined ? {} : { defaultSampleType: this.#string(defaultSampleType) }),
    };
    yield encodePart(head);
    for (let start = 0; start < this.#locations.length; start += LOCATIONS_PER_PIECE) {
      yield encodePart({ location: this.#locations.slice(start, start + LOCATIONS_PER_PIECE) });
    }
    for (let start = 0; start < this.#functions.length; start += LOCATIONS_PER_PIECE) {
      yield encodePart({ function: this.#functions.slice(start, start + LOCATIONS_PER_PIECE) });
    }
    yield new Profile({ stringTable: this.#strings }).encode();
  }

  #locationId(frame: PprofFrame): number {
    const known = this.#idsByFrame.get(frame);
    if (known !== undefined) return known;
    const key = frameKey(frame);
    let id = this.#locationIds.get(key);
    if (id === undefined) {
      id = this.#locations.length + 1;
      this.#locations.push({
        id,
        mappingId: 1,
        address: addressOf(key, this.#addresses),
        line: [{ functionId: this.#functionId(frame), line: frame.line, column: frame.column }],
      });
      this.#locationIds.set(key, id);
    }
    this.#idsByFrame.set(frame, id);
    return id;
  }

  #functionId({ name, file, line }: PprofFrame): number {
    const key = `${file}\n${name}\n${line}`;
    let id = this.#functionIds.get(key);
    if (id === undefined) {
      id = this.#functions.length + 1;
      // No system name: where it equals the name, pprof takes the name for C++ and cuts `(…)`, `<…>` and `[…]` out of it.
      this.#functions.push({ id, name: this.#string(name), filename: this.#string(file), startLine: line });
      this.#functionIds.set(key, id);
    }
    return id;
  }

  #valueType({ type, unit }: ValueType): { type: number; unit: number } {
    return { type: this.#string(type), unit: this.#string(unit) };
  }

  /** Names from V8 may hold lone surrogates, which no UTF-8 decoder accepts. */
  #string(text: string): number {
    return this.#strings.dedup(text.isWellFormed() ? text : text.toWellFormed());
  }
}
