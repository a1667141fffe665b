import { contentionProfile } from './contention.js';
import type { Profile } from './profile.js';
import type { ProfileSources } from './sources.js';

/** The mutex profile: where code waits for something that others hold. */
export function mutexProfile(sources: ProfileSources): Profile {
  return contentionProfile({
    name: 'mutex',
    description:
      "Where code waits for something that others hold: a thread of libuv's pool (file system, DNS, crypto, compression) and " +
      'Atomics.wait for as many seconds as the parameter says, or all the time with asyncSampleRate; locks and pools that are ' +
      'asked for through measureWait() since the start.',
    enabledBy: 'enableMutex',
    read: () => sources.waits().read(),
    observe: () => sources.operations().observe(),
    sources,
  });
}
