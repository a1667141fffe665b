import { encodeProfile } from '../pprof/encode.js';
import type { ProfileData } from '../pprof/profile-data.js';
import { ClientDeltas } from './client-deltas.js';
import { createPacer, type Breathe } from './pacer.js';
import type { Capture, CaptureRequest, Profile } from './profile.js';
import type { ProfileSources } from './sources.js';

interface DeltaProfileOptions {
  /** The profile whose growth it is; it is called `delta_` and this. */
  readonly of: string;
  readonly enabledBy: Profile['enabledBy'];
  /** Whether `gc=1` is understood. */
  readonly gc: boolean;
  /** Names of the sample types that accumulate since the start. */
  readonly accumulating: readonly string[];
  /** Whether `read` works in the sidecar too. */
  readonly offThread?: boolean;
  readonly read: (options: { gc: boolean; breathe: Breathe }) => Promise<ProfileData>;
}

/**
 * What a profile that accumulates has grown by since the same client asked before, as scrapers want it that do not subtract by
 * themselves (`profile.godeltaprof_*` of Grafana Alloy). Each client has a memory of its own, so that two do not take from
 * each other.
 */
export function deltaProfile(sources: ProfileSources, options: DeltaProfileOptions): Profile {
  const deltas = new ClientDeltas(options.accumulating);
  return {
    name: `delta_${options.of}`,
    aliases: [],
    description:
      `What ${options.of} has grown by since the same client asked before (everything at first). A client is an address with a ` +
      'User-Agent; the client parameter tells apart what has both alike.',
    enabledBy: options.enabledBy,
    seconds: 'ignored',
    text: false,
    gc: options.gc,
    exampleQuery: '',
    offThread: options.offThread ?? false,
    capture: (request) => captureDelta(sources, request, { ...options, deltas }),
  };
}

async function captureDelta(
  { mappingFile }: ProfileSources,
  { client = '', gc, signal }: CaptureRequest,
  { deltas, read }: DeltaProfileOptions & { deltas: ClientDeltas },
): Promise<Capture> {
  const breathe = createPacer();
  const { delta, commit } = await deltas.since(client, await read({ gc, breathe }), breathe);
  const body = await encodeProfile(delta, { mappingFile, breathe });
  // Who has hung up has not got it.
  if (!signal?.aborted) commit();
  return { body, notes: delta.comments };
}
