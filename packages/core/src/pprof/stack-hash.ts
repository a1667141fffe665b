import { addressOf, frameKey } from './addresses.js';
import type { PprofFrame, PprofSample } from './profile-data.js';

const hashes = new WeakMap<PprofFrame, number>();

/** A number of 53 bits for the stack and labels of a sample: the same in every profile of the process. */
export function stackHash({ stack, labels }: PprofSample): number {
  let low = 0x811c9dc5;
  let high = 0x01000193;
  const mix = (hash: number): void => {
    low = Math.imul(low ^ (hash >>> 0), 0x01000193);
    low ^= low >>> 15;
    high = Math.imul(high ^ (hash / 2 ** 32) ^ low, 0x85ebca6b);
    high ^= high >>> 13;
  };
  for (const frame of stack) mix(frameHash(frame));
  for (const [name, value] of Object.entries(labels ?? {})) mix(addressOf(`${name}\n${value}`));
  return (low >>> 0) + ((high >>> 0) % 2 ** 21) * 2 ** 32;
}

function frameHash(frame: PprofFrame): number {
  let hash = hashes.get(frame);
  if (hash === undefined) hashes.set(frame, (hash = addressOf(frameKey(frame))));
  return hash;
}
