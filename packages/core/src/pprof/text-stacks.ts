import { addressOf, frameKey } from './addresses.js';
import type { PprofFrame, PprofSample } from './profile-data.js';

/** TextStacks writes the stacks of one profile the way Go's legacy text formats have them. */
export class TextStacks {
  readonly #taken = new Set<number>();
  readonly #addresses = new Map<PprofFrame, string>();
  readonly #byKey = new Map<string, string>();

  /** The addresses of a record, leaf first. */
  addresses(stack: readonly PprofFrame[]): string {
    return stack.map((frame) => this.#address(frame)).join(' ');
  }

  /** The lines below a record, which name its addresses. */
  legend(stack: readonly PprofFrame[]): string[] {
    return stack.map((frame) =>
      oneLine(`#\t${this.#address(frame)}\t${frame.name}\t${frame.file}:${frame.line}`),
    );
  }

  /** One more than in the binary form: in text, addresses are those that calls return to, and pprof takes one off each. */
  #address(frame: PprofFrame): string {
    let known = this.#addresses.get(frame);
    if (known === undefined) {
      const key = frameKey(frame);
      known = this.#byKey.get(key) ?? `0x${(addressOf(key, this.#taken) + 1).toString(16)}`;
      this.#byKey.set(key, known);
      this.#addresses.set(frame, known);
    }
    return known;
  }
}

/** Readers of Go's text formats give up at lines of 64 KiB. */
const MAX_LINE_LENGTH = 16_384;

/** Names of functions and files may hold line breaks, behind which anything could stand that looks like a record. */
export function oneLine(text: string): string {
  return text.slice(0, MAX_LINE_LENGTH).replace(/[\r\n\u2028\u2029]+/g, ' ');
}

/** The line below a record that has its labels, a comment to pprof; none if it has no labels. */
export function labelLine({ labels, numLabels }: PprofSample): string[] {
  const all: [string, string][] = [
    ...Object.entries(labels ?? {}),
    ...Object.entries(numLabels ?? {}).map(
      ([key, { value, unit }]) => [key, `${value} ${unit}`] as [string, string],
    ),
  ];
  if (all.length === 0) return [];
  all.sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    oneLine(
      `# labels: {${all.map((pair) => pair.map((text) => JSON.stringify(text)).join(':')).join(', ')}}`,
    ),
  ];
}
