import { cpuProfile } from './cpu.js';
import { counterDocuments } from './counters.js';
import type { JsonDocument } from './document.js';
import { heapProfile } from './heap.js';
import type { Profile } from './profile.js';
import type { ProfileSources } from './sources.js';

/** The profiles by name, and the JSON documents beside them, in the order of the index page. */
export class ProfileRegistry {
  readonly #profiles: readonly Profile[];
  readonly documents: readonly JsonDocument[];

  constructor(profiles: readonly Profile[], documents: readonly JsonDocument[]) {
    this.#profiles = [...profiles].sort((a, b) => a.name.localeCompare(b.name));
    this.documents = [...documents].sort((a, b) => a.name.localeCompare(b.name));
  }

  /** Names of all routes. */
  get names(): readonly string[] {
    return [...this.#profiles, ...this.documents].map(({ name }) => name);
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
  return new ProfileRegistry([cpuProfile(sources), heapProfile(sources)], counterDocuments(sources));
}
