/** How many letters have to be changed, added or taken away to turn one word into another. */
function distance(from: string, to: string): number {
  let above = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const line = [row];
    for (let column = 1; column <= to.length; column++) {
      const changed = (above[column - 1] as number) + (from[row - 1] === to[column - 1] ? 0 : 1);
      line.push(Math.min(changed, (above[column] as number) + 1, (line[column - 1] as number) + 1));
    }
    above = line;
  }
  return above[to.length] as number;
}

export interface Neighbour {
  word: string;
  distance: number;
}

/** All other words, those that are spelled most like it first. */
export function neighboursOf(word: string, words: readonly string[]): Neighbour[] {
  return words
    .filter((other) => other !== word)
    .map((other) => ({ word: other, distance: distance(word, other) }))
    .sort((a, b) => a.distance - b.distance);
}
