import { cpuProfile } from './cpu.js';
import { heapProfile } from './heap.js';
import type { Profile } from './profile.js';
import type { ProfileSources } from './sources.js';

/** The profiles by name, in the order of the index page. */
export class ProfileRegistry {
  readonly #profiles: readonly Profile[];

  constructor(profiles: readonly Profile[]) {
    this.#profiles = [...profiles].sort((a, b) => a.name.localeCompare(b.name));
  }

  [Symbol.iterator](): Iterator<Profile> {
    return this.#profiles[Symbol.iterator]();
  }

  /** The profile of that name or alias. */
  lookup(name: string): Profile | undefined {
    return this.#profiles.find((profile) => profile.name === name || profile.aliases.includes(name));
  }
}

export function createRegistry(sources: ProfileSources): ProfileRegistry {
  return new ProfileRegistry([cpuProfile(sources), heapProfile(sources)]);
}
