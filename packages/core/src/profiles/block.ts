import { contentionProfile } from './contention.js';
import type { Profile } from './profile.js';
import type { ProfileSources } from './sources.js';

/** The block profile: where callbacks have held the event loop, and for how long. */
export function blockProfile(sources: ProfileSources): Profile {
  return contentionProfile({
    name: 'block',
    description:
      'Stack traces that held the event loop: what stalls spent their time in since the profiler started, by route and cause. ' +
      'seconds gives what was added over that time.',
    enabledBy: 'enableBlock',
    offThread: true,
    read: () => sources.blockReading(),
    sources,
  });
}
