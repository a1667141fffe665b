import { setTimeout as sleep } from 'node:timers/promises';
import type { Profile } from '../profiles/profile.js';
import { aborted } from './abort.js';
import { captureNow, PROFILE_PARTS, type Part, type ProfilePartName, type Window } from './contents.js';
import type { Snapshotter } from './snapshotter.js';

export interface RecordingOptions {
  readonly durationMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** One profile from now on, for a time or until it is ended, and then its file. */
export class Recording {
  /** Path of the file; rejects with LOOPPROF_ABORTED, LOOPPROF_WRITE_FAILED or why there is no profile. */
  readonly path: Promise<string>;
  readonly #snapshotter: Snapshotter;
  readonly #name: ProfilePartName;
  readonly #profile: Profile;
  readonly #fromMicros = Date.now() * 1000;
  #endNow: () => void = () => {};
  #ended = false;

  /** Throws when there is no such profile. */
  constructor(snapshotter: Snapshotter, name: ProfilePartName, options: RecordingOptions) {
    this.#snapshotter = snapshotter;
    this.#name = name;
    this.#profile = snapshotter.profile(name);
    this.path = this.#record(options).finally(() => (this.#ended = true));
    // Nobody may ever ask for it.
    this.path.catch(() => {});
  }

  /** Whether nothing more is recorded. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Ends it before its time, if it has not ended. */
  end(): void {
    this.#endNow();
  }

  async #record({ durationMs, signal }: RecordingOptions): Promise<string> {
    const window = { fromMicros: this.#fromMicros, toMicros: this.#fromMicros + durationMs * 1000 };
    const { captured, window: until } =
      this.#profile.seconds === 'window'
        ? await this.#whileItLasts(window, signal)
        : await this.#atItsEnd(window, signal);
    this.#ended = true;
    const { file } = PROFILE_PARTS[this.#name];
    const { files } = await this.#snapshotter.take({
      reason: `${this.#name}-profile`,
      window: until,
      capture: () => Promise.resolve({ parts: [{ name: this.#name, file, ...captured }], missing: {} }),
    });
    return files[this.#name] as string;
  }

  /** From the first moment on, so that the recorder keeps the samples, and their labels, however long it takes. */
  async #whileItLasts(window: Window, signal: AbortSignal | undefined): Promise<Recorded> {
    const superseded = new AbortController();
    const signals = signal ? [signal, superseded.signal] : [superseded.signal];
    let early: Promise<Recorded> | undefined;
    this.#endNow = () => {
      if (early) return;
      const toMicros = Math.max(Date.now() * 1000, window.fromMicros + 1000);
      early = this.#capture({ ...window, toMicros }, signal);
      early.catch(() => {});
      superseded.abort();
    };
    try {
      return await this.#capture(window, AbortSignal.any(signals));
    } catch (error) {
      if (early) return early;
      throw error;
    }
  }

  /** What is held then, and what has been counted until then. */
  async #atItsEnd(window: Window, signal: AbortSignal | undefined): Promise<Recorded> {
    const ending = new AbortController();
    this.#endNow = () => ending.abort();
    await waitFor(window, signal ? AbortSignal.any([signal, ending.signal]) : ending.signal);
    return this.#capture({ ...window, toMicros: Date.now() * 1000 }, signal);
  }

  async #capture(window: Window, signal: AbortSignal | undefined): Promise<Recorded> {
    if (signal?.aborted) throw aborted();
    return { captured: await captureNow(this.#profile, { window, signal }), window };
  }
}

interface Recorded {
  readonly captured: Pick<Part, 'data' | 'notes'>;
  readonly window: Window;
}

/** Until the window is over or the signal aborts. */
async function waitFor({ fromMicros, toMicros }: Window, signal: AbortSignal): Promise<void> {
  try {
    await sleep((toMicros - fromMicros) / 1000, undefined, { ref: false, signal });
  } catch {
    // Whoever aborted it knows why.
  }
}
