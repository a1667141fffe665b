import type { Breathe } from './pacer.js';

/** One body of many pieces, copied in as many: tens of megabytes at once would hold the loop for as many milliseconds. */
export async function joinPieces(pieces: readonly Uint8Array[], breathe: Breathe): Promise<Uint8Array> {
  const body = Buffer.allocUnsafe(pieces.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const piece of pieces) {
    body.set(piece, offset);
    offset += piece.length;
    await breathe();
  }
  return body;
}
