/** Takes the stack of the code that runs now, as frames. */
import { basename, dirname, sep } from 'node:path';
import { nameOfScript, type Frame } from './frames.js';

/** Deeper callers are cut off. */
const MAX_DEPTH = 32;

/** Generated code may add positions for ever; past this many the table starts anew. */
const MAX_FRAMES = 100_000;

const EMPTY: readonly NodeJS.CallSite[] = [];

/** A stack whose frames have not been read yet. It keeps what its functions were called on alive. */
export interface StackMark {
  stack?: unknown;
}

/** The function below which a stack begins: neither it nor what it has called is in the stack. */
export type Callee = (...args: never[]) => unknown;

/** Where this package's own code lies; not known when it has been bundled together with the app. */
const OWN_FOLDER = /^call-sites\.[jt]s$/.test(basename(__filename)) ? dirname(__dirname) + sep : undefined;

/**
 * CallSites reads stacks from V8's structured call sites and gives one Frame per position, so that stacks compare by identity.
 * Lines and columns are those of the calls. The app's `Error.prepareStackTrace` does not run.
 */
export class CallSites {
  #frames = new Map<string, Map<number, Frame>>();
  #size = 0;

  /** Takes the stack above `callee`, leaf first. */
  take(callee: Callee): Frame[] {
    return this.read(this.mark(callee));
  }

  /** The same without reading its frames, for stacks that are rarely wanted. */
  mark(callee: Callee): StackMark {
    const mark: StackMark = {};
    const limit = Error.stackTraceLimit;
    try {
      Error.stackTraceLimit = MAX_DEPTH;
      Error.captureStackTrace(mark, callee);
    } catch {
      // Frozen intrinsics: there is nothing to take.
    } finally {
      restoreLimit(limit);
    }
    return mark;
  }

  /** The frames of a stack, leaf first. */
  read(mark: StackMark): Frame[] {
    return sitesOf(mark).map((site) => this.#frame(site));
  }

  #frame(site: NodeJS.CallSite): Frame {
    const url = site.getFileName() ?? site.getScriptNameOrSourceURL() ?? '';
    const functionName = site.getFunctionName() ?? '';
    // Built-in functions have no position to tell them apart by.
    const script = url === '' ? `(built-in) ${functionName}` : url;
    let positions = this.#frames.get(script);
    if (!positions) this.#frames.set(script, (positions = new Map<number, Frame>()));
    const position = url === '' ? 0 : site.getPosition();
    let frame = positions.get(position);
    if (!frame) {
      frame = {
        kind: 'code',
        functionName,
        url: nameOfScript(url),
        line: url === '' ? 0 : (site.getLineNumber() ?? 0),
        column: url === '' ? 0 : (site.getColumnNumber() ?? 0),
      };
      positions.set(position, frame);
      this.#grow();
    }
    return frame;
  }

  #grow(): void {
    this.#size += 1;
    if (this.#size <= MAX_FRAMES) return;
    this.#frames = new Map();
    this.#size = 0;
  }
}

/** Whether a frame is neither Node's nor V8's own. */
export function isUserCode({ url }: Frame): boolean {
  return url !== '' && !url.startsWith('node:');
}

/** Whether a frame is this package's. */
export function isOwnCode({ url }: Frame): boolean {
  return OWN_FOLDER !== undefined && url.startsWith(OWN_FOLDER);
}

function sitesOf(mark: StackMark): readonly NodeJS.CallSite[] {
  const given = Object.getOwnPropertyDescriptor(Error, 'prepareStackTrace');
  try {
    Error.prepareStackTrace = (_error, sites) => sites;
    const { stack } = mark;
    return Array.isArray(stack) ? (stack as NodeJS.CallSite[]) : EMPTY;
  } catch {
    return EMPTY;
  } finally {
    restorePrepare(given);
  }
}

function restorePrepare(given: PropertyDescriptor | undefined): void {
  try {
    if (given) Object.defineProperty(Error, 'prepareStackTrace', given);
    else Reflect.deleteProperty(Error, 'prepareStackTrace');
  } catch {
    // It could not be set either.
  }
}

function restoreLimit(limit: number): void {
  try {
    Error.stackTraceLimit = limit;
  } catch {
    // It could not be set either.
  }
}
