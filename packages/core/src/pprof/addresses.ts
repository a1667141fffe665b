import type { PprofFrame } from './profile-data.js';

/**
 * JavaScript functions have no addresses, but consumers tell locations apart by them (Alloy's deltas by nothing else), so each
 * gets a made-up one: a hash of its name and position, the same in every profile of every process.
 */
export const ADDRESS_START = 0x10000;
export const ADDRESS_LIMIT = 2 ** 47;

const HASH_BITS = 46;

/** FNV-1a, in two lanes: a 46-bit result keeps thousands of functions apart. */
function hashOf(text: string): number {
  let low = 0x811c9dc5;
  let high = 0x01000193;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul(high ^ unit, 0x85ebca6b) ^ (high >>> 13);
  }
  return (low >>> 0) + ((high >>> 0) % 2 ** (HASH_BITS - 32)) * 2 ** 32;
}

/** Identity of a location: two frames with the same key are one location. */
export function frameKey({ name, file, line, column }: PprofFrame): string {
  return `${file}\n${name}\n${line}:${column}`;
}

/** The address of a location, inside [ADDRESS_START, ADDRESS_LIMIT); `taken` makes it unique within one profile. */
export function addressOf(key: string, taken?: Set<number>): number {
  let address = ADDRESS_START + hashOf(key);
  while (taken?.has(address)) address += 1;
  taken?.add(address);
  return address;
}
