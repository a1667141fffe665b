import { allocsProfile } from './allocs.js';
import { blockProfile } from './block.js';
import { cpuProfile } from './cpu.js';
import { cmdlineDocument } from './cmdline.js';
import { counterDocuments } from './counters.js';
import { AddressBook } from '../pprof/address-book.js';
import type { JsonDocument } from './document.js';
import { CONTENTION_TYPES, contentionData } from './contention.js';
import { deltaProfile } from './delta.js';
import { goroutineLeakProfile } from './goroutine-leak.js';
import { goroutineProfile } from './goroutine.js';
import { heapProfile } from './heap.js';
import { ALLOCATED_TYPES, heapProfileData } from './heap-data.js';
import { mutexProfile } from './mutex.js';
import type { Profile } from './profile.js';
import { threadCreateProfile } from './thread-create.js';
import type { ProfileSources } from './sources.js';
import { stackDocument } from './stack.js';
import { stallsDocument } from './stalls.js';
import { symbolDocument } from './symbol.js';
import type { TextDocument } from './text-document.js';
import { traceProfile } from './trace.js';

/** The profiles by name, and what is served beside them, in the order of the index page. */
export class ProfileRegistry {
  readonly #profiles: readonly Profile[];
  readonly documents: readonly JsonDocument[];
  /** Texts of the process. */
  readonly facts: readonly TextDocument[];
  /** All texts. */
  readonly texts: readonly TextDocument[];
  /** What stands behind the addresses of the profiles that were served as text. */
  readonly addresses = new AddressBook();

  constructor(
    profiles: readonly Profile[],
    documents: readonly JsonDocument[],
    facts: readonly TextDocument[],
  ) {
    this.#profiles = [...profiles].sort((a, b) => a.name.localeCompare(b.name));
    this.documents = [...documents].sort((a, b) => a.name.localeCompare(b.name));
    this.facts = facts;
    this.texts = [...facts, symbolDocument(this.addresses)];
  }

  /** Names of all routes. */
  get names(): readonly string[] {
    return [...this.#profiles, ...this.documents, ...this.texts].map(({ name }) => name);
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
export function factsOf<T extends Profile | JsonDocument | TextDocument>(
  entry: T,
): Omit<T, 'capture' | 'read'> {
  const facts = Object.entries(entry).filter(([, value]) => typeof value !== 'function');
  return Object.fromEntries(facts) as Omit<T, 'capture' | 'read'>;
}

export function createRegistry(sources: ProfileSources): ProfileRegistry {
  return new ProfileRegistry(
    [
      allocsProfile(sources),
      blockProfile(sources),
      cpuProfile(sources),
      goroutineProfile(sources),
      goroutineLeakProfile(sources),
      heapProfile(sources),
      mutexProfile(sources),
      threadCreateProfile(sources),
      traceProfile(sources),
      deltaProfile(sources, {
        of: 'heap',
        enabledBy: 'enableMemory',
        gc: true,
        accumulating: ALLOCATED_TYPES.map(({ type }) => type),
        offThread: true,
        read: async ({ gc, breathe }) =>
          heapProfileData(await sources.heapRecorder().read({ gc }), { sources, breathe }),
      }),
      deltaProfile(sources, {
        of: 'block',
        enabledBy: 'enableBlock',
        gc: false,
        accumulating: CONTENTION_TYPES.map(({ type }) => type),
        offThread: true,
        read: ({ breathe }) => contentionData({ sources, read: () => sources.blockReading() }, breathe),
      }),
      deltaProfile(sources, {
        of: 'mutex',
        enabledBy: 'enableMutex',
        gc: false,
        accumulating: CONTENTION_TYPES.map(({ type }) => type),
        read: ({ breathe }) => contentionData({ sources, read: () => sources.waits().read() }, breathe),
      }),
    ],
    [...counterDocuments(sources), stallsDocument(sources), stackDocument(sources)],
    [cmdlineDocument()],
  );
}
