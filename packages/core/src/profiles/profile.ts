import type { SensitiveField } from '../config.js';

/** What every profile of the registry is; HTTP, the index page and tests know profiles only by this. */

/** The configuration field that turns a profile off. */
export type EnablingField = 'enableCPU' | 'enableMemory' | 'enableBlock' | 'enableMutex' | 'enableGoroutine';

/** What a capture is asked for; parameters a profile does not support are refused before it is called. */
export interface CaptureRequest {
  /** The stretch to profile, in microseconds since the epoch: `window` profiles always get one. */
  readonly window?: { readonly fromMicros: number; readonly toMicros: number };
  /** Length of a delta: the change over this time from now. */
  readonly deltaMs?: number;
  /** Length of a recording from now. */
  readonly recordMs?: number;
  /** 0 is gzip'd protobuf, anything else text. */
  readonly debug: number;
  /** Collect garbage first. */
  readonly gc: boolean;
  /** Who asks, where that makes a difference. */
  readonly client?: string;
  readonly signal?: AbortSignal | undefined;
}

/** Whether a profile is not turned off. */
export function isEnabled(
  { enabledBy }: Pick<Profile, 'enabledBy'>,
  config: Readonly<Record<EnablingField, boolean>>,
): boolean {
  return enabledBy === undefined || config[enabledBy];
}

export interface Capture {
  readonly body: Uint8Array | string;
  /** What the reader must know to trust the numbers; also inside the profile. */
  readonly notes: readonly string[];
}

export interface Profile {
  /** Name of its route and of its files. */
  readonly name: string;
  readonly aliases: readonly string[];
  /** One or two sentences for the index page. */
  readonly description: string;
  /** Undefined: nothing turns it off. */
  readonly enabledBy: EnablingField | undefined;
  /** The field of `sensitive` without which it is not served. */
  readonly sensitive?: SensitiveField;
  /**
   * What `seconds` means: the length of a window from now, of a delta between two snapshots, or of a recording, which may have a
   * fraction. It is ignored where scrapers send it all the same.
   */
  readonly seconds: 'window' | 'delta' | 'recording' | 'ignored';
  /** Whether `debug` gives text; elsewhere it is ignored, as Go does for the CPU profile. */
  readonly text: boolean;
  /** Whether `gc=1` is understood. */
  readonly gc: boolean;
  /** Whether a delta ends with a garbage collection. */
  readonly collectsAtEnd?: boolean;
  /** Parameters of the index page's link. */
  readonly exampleQuery: string;
  /** Whether the sidecar makes it from what it has, off the main thread; the others are made there. */
  readonly offThread?: boolean;
  /** Throws the reason when there is nothing to read from; for whoever would learn it only at the end. */
  ready?(): void;
  /** What it is where it is no pprof profile. */
  readonly file?: { readonly name: string; readonly contentType: string };
  /** Rejects with LOOPPROF_ABORTED when the signal aborts, LOOPPROF_ENGINE_UNAVAILABLE when there is nothing to read from. */
  capture(request: CaptureRequest): Promise<Capture>;
}
