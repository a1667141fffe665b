/** Watches the main thread's event loop from outside, and reports a hang while it lasts. */
import { join, resolve } from 'node:path';
import type { PprofFrame } from '../pprof/profile-data.js';
import { cpuStacksOf } from '../recorder/cpu-stacks.js';
import { ensureDirectory } from '../snapshots/directory.js';
import { replaceFile } from '../snapshots/files.js';
import { makeRoom, REPORT_SUFFIX, snapshotName } from '../snapshots/retention.js';
import type { SentConfig } from './protocol.js';
import { TICK_MS, type Pulse } from './pulse.js';
import type { RemoteSources } from './remote-sources.js';
import { writeToStderr } from './stderr.js';

/** A tick that is later than this shows that the whole process got no CPU. */
const LATE_MS = 20;

const MAX_STACKS = 5;

/** The line is for a log; the file has all frames. */
const MAX_LINE_FRAMES = 10;

/** A program that hangs again and again must not fill a disk. */
const MAX_REPORTS_PER_HOUR = 20;

interface HotStack {
  readonly cpuMs: number;
  readonly frames: readonly string[];
}

export interface LoopWatchOptions {
  readonly pulse: Pulse;
  readonly sources: RemoteSources;
  /** Of the profilers that run. */
  readonly configs: () => readonly Pick<SentConfig, 'hangThresholdMs' | 'profileDir' | 'snapshots'>[];
  /** Told again and again how long the event loop has not turned so far, while we did. */
  readonly onBlocked: (forMs: number) => void;
}

export class LoopWatch {
  readonly #options: LoopWatchOptions;
  #tickedAtMs = 0;
  /** How long the main thread has been seen not to turn, while we were. */
  #seenBlockedMs = 0;
  #reported = false;
  #reportedAtMs: number[] = [];

  constructor(options: LoopWatchOptions) {
    this.#options = options;
  }

  start(): void {
    this.#tickedAtMs = performance.now();
    setInterval(() => this.#tick(), TICK_MS);
  }

  #tick(): void {
    const { pulse, configs, onBlocked } = this.#options;
    const now = performance.now();
    const gapMs = now - this.#tickedAtMs;
    this.#tickedAtMs = now;
    const lateMs = Math.round(gapMs - TICK_MS);
    pulse.tick(lateMs > LATE_MS ? lateMs : 0);
    if (pulse.sinceBeatMs < 2 * TICK_MS) {
      this.#seenBlockedMs = 0;
      this.#reported = false;
      return;
    }
    this.#seenBlockedMs += Math.min(gapMs, 2 * TICK_MS);
    onBlocked(this.#seenBlockedMs);
    const thresholds = configs().map(({ hangThresholdMs }) => hangThresholdMs);
    if (this.#reported || thresholds.length === 0 || this.#seenBlockedMs < Math.min(...thresholds)) return;
    this.#reported = true;
    void this.#report();
  }

  async #report(): Promise<void> {
    try {
      if (await this.#options.sources.main.isPausedByDebugger()) return;
      this.#reportedAtMs = this.#reportedAtMs.filter((atMs) => atMs > performance.now() - 3_600_000);
      if (this.#reportedAtMs.length >= MAX_REPORTS_PER_HOUR) return;
      this.#reportedAtMs.push(performance.now());
      const { sources } = this.#options;
      const before = sources.blocked();
      if (!before) return;
      const [stack, hottest] =
        before.kind === 'unknown'
          ? [[], []]
          : await Promise.all([this.#stack(), this.#hottest(before.forMs)]);
      // How it is blocked shows when it is asked; it may have gone on meanwhile.
      const blocked = sources.blocked() ?? before;
      const report = {
        event: 'loopprof.hang',
        pid: process.pid,
        ...blocked,
        forMs: Math.round(blocked.forMs),
        stack,
        hottest,
      };
      const file = await this.#write(report);
      const line = { ...report, stack: stack.slice(0, MAX_LINE_FRAMES), hottest: undefined, file };
      await writeToStderr(JSON.stringify(line));
    } catch {
      // A report that cannot be made is not worth an error in the sidecar, which has other things to answer.
    }
  }

  async #stack(): Promise<string[]> {
    const { sources } = this.#options;
    try {
      const stack = await sources.stack();
      const [frames = []] = stack ? await sources.symbolizer.symbolize([stack], () => Promise.resolve()) : [];
      return frames.map(shown);
    } catch {
      return [];
    }
  }

  /** Where the time went since the loop was blocked, as far as samples get out. */
  async #hottest(forMs: number): Promise<HotStack[]> {
    const { sources } = this.#options;
    try {
      const toMicros = Date.now() * 1000;
      const window = await sources.recorder().window(toMicros - forMs * 1000, toMicros);
      const stacks = (await cpuStacksOf(window, () => Promise.resolve()))
        .sort((a, b) => b.cpuNanos - a.cpuNanos)
        .slice(0, MAX_STACKS);
      const frames = await sources.symbolizer.symbolize(
        stacks.map((stack) => stack.frames),
        () => Promise.resolve(),
      );
      return stacks.map(({ cpuNanos }, index) => ({
        cpuMs: cpuNanos / 1e6,
        frames: (frames[index] ?? []).map(shown),
      }));
    } catch {
      return [];
    }
  }

  /** Writes a file that is whole or not there; gives its path, or null when it could not be written. */
  async #write(report: object): Promise<string | null> {
    const [config] = this.#options.configs();
    if (!config) return null;
    const directory = resolve(config.profileDir);
    const nowMs = Date.now();
    const name = snapshotName({ takenAtMs: nowMs, reason: 'hang', pid: process.pid }) + REPORT_SUFFIX;
    const data = `${JSON.stringify(report, undefined, 2)}\n`;
    try {
      await ensureDirectory(directory);
      const room = { count: 1, sizeBytes: Buffer.byteLength(data), nowMs, forReports: true };
      await makeRoom(directory, config.snapshots, room);
      await replaceFile(join(directory, name), data);
      return join(directory, name);
    } catch {
      return null;
    }
  }
}

function shown({ name, file, line, column }: PprofFrame): string {
  return file ? `${name} ${file}:${line}:${column}` : name;
}
