/** A program in TypeScript that burns CPU, for what a profile makes of compiled code. */
import { fetchProfile } from './fetch.js';
import { framesOf } from './profile.js';

// What the compiler leaves out moves every line that follows.
export const TYPED_SOURCE = `
interface Work {
  readonly rounds: number;
}
type Sum = number;

declare function setTimeout(callback: () => void, delayMs: number): unknown;

function burnTyped({ rounds }: Work): Sum {
  let sum: Sum = 0;
  for (let n = 0; n < rounds; n++) sum += Math.sqrt(n);
  return sum;
}

class Turning {
  private readonly work: Work = { rounds: 5_000_000 };

  turnTyped(): Sum {
    const sum = burnTyped(this.work) + [1, 2].map((n: number): number => n + burnTyped(this.work))[0]!;
    setTimeout(() => this.turnTyped(), 20);
    return sum;
  }
}

new Turning().turnTyped();
`;

/** Where in it this text is, counted from 1. */
export const lineInTypedSource = (text: string): number =>
  TYPED_SOURCE.split('\n').findIndex((line) => line.includes(text)) + 1;

export interface TypedPlace {
  place: { file: string; line: number } | undefined;
  comments: string[];
}

/** Where a profile shows burnTyped(), and what it says of maps. */
export async function placeOfTyped(url: string, folder: string): Promise<TypedPlace> {
  const profile = await fetchProfile(`${url}/profile?seconds=1`);
  const [frame] = framesOf(profile).filter(({ name }) => name === 'burnTyped');
  const place = frame && { file: frame.file.replace(folder, ''), line: frame.line };
  return { place, comments: profile.comments.filter((comment) => comment.includes('source maps')) };
}

export const AS_WRITTEN = {
  place: { file: '/work.ts', line: lineInTypedSource('function burnTyped') },
  comments: [],
} satisfies TypedPlace;
