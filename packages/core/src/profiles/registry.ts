import { blockProfile } from './block.js';
import { cpuProfile } from './cpu.js';
import { counterDocuments } from './counters.js';
import type { JsonDocument } from './document.js';
import { goroutineLeakProfile } from './goroutine-leak.js';
import { goroutineProfile } from './goroutine.js';
import { heapProfile } from './heap.js';
import { mutexProfile } from './mutex.js';
import type { Profile } from './profile.js';
import { threadCreateProfile } from './thread-create.js';
import type { ProfileSources } from './sources.js';
import { stackDocument } from './stack.js';
import { stallsDocument } from './stalls.js';

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

/** What can be told of a profile or a document to another thread: all but its functions. */
export function factsOf<T extends Profile | JsonDocument>(entry: T): Omit<T, 'capture' | 'read'> {
  const facts = Object.entries(entry).filter(([, value]) => typeof value !== 'function');
  return Object.fromEntries(facts) as Omit<T, 'capture' | 'read'>;
}

export function createRegistry(sources: ProfileSources): ProfileRegistry {
  return new ProfileRegistry(
    [
      blockProfile(sources),
      cpuProfile(sources),
      goroutineProfile(sources),
      goroutineLeakProfile(sources),
      heapProfile(sources),
      mutexProfile(sources),
      threadCreateProfile(sources),
    ],
    [...counterDocuments(sources), stallsDocument(sources), stackDocument(sources)],
  );
}
