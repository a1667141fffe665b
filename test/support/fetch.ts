import { readProfile, type ReadProfile } from './profile.js';

/** Fetches a profile that must be there, and decodes it. */
export async function fetchProfile(url: string): Promise<ReadProfile> {
  const response = await fetch(url);
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (response.status !== 200) throw new Error(`${url}: ${response.status} ${Buffer.from(bytes).toString()}`);
  return readProfile(bytes);
}
