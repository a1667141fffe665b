/** Watches the main thread's event loop from outside, and reports a hang while it lasts. */
import { join, resolve } from 'node:path';
import type { PprofFrame } from '../pprof/profile-data.js';
import type { BlockedState } from '../profiles/sources.js';
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

/** A program that hangs again and again must not fill a disk: in each directory. */
const MAX_REPORTS_PER_HOUR = 20;

type HangConfig = Pick<SentConfig, 'hangThresholdMs' | 'profileDir' | 'snapshots'>;

interface HotStack {
  readonly cpuMs: number;
  readonly frames: readonly string[];
}

/** What shows from inside. */
interface Found {
  readonly stack: readonly string[];
  readonly hottest: readonly HotStack[];
}

const NOTHING: Found = { stack: [], hottest: [] };

export interface LoopWatchOptions {
  readonly pulse: Pulse;
  readonly sources: RemoteSources;
  /** Of the profilers that run. */
  readonly configs: () => readonly HangConfig[];
  /** Told again and again how long the event loop has not turned so far, while we did. */
  readonly onBlocked: (forMs: number) => void;
}

export class LoopWatch {
  readonly #options: LoopWatchOptions;
  #tickedAtMs = 0;
  /** How long the main thread has been seen not to turn, while we were. */
  #seenBlockedMs = 0;
  /** The directories that have a report of this time, or need none. */
  #reported = new Set<string>();
  readonly #reportedAtMs = new Map<string, number[]>();

  constructor(options: LoopWatchOptions) {
    this.#options = options;
  }

  start(): void {
    this.#tickedAtMs = performance.now();
    setInterval(() => this.#tick(), TICK_MS);
  }

  #tick(): void {
    const { pulse, onBlocked } = this.#options;
    const now = performance.now();
    const gapMs = now - this.#tickedAtMs;
    this.#tickedAtMs = now;
    const lateMs = Math.round(gapMs - TICK_MS);
    pulse.tick(lateMs > LATE_MS ? lateMs : 0);
    if (pulse.sinceBeatMs < 2 * TICK_MS) {
      this.#seenBlockedMs = 0;
      this.#reported = new Set();
      return;
    }
    this.#seenBlockedMs += Math.min(gapMs, 2 * TICK_MS);
    onBlocked(this.#seenBlockedMs);
    const isFirst = this.#reported.size === 0;
    const due = this.#takeDue();
    if (due.length > 0) void this.#report(due, isFirst);
  }

  /** One for each directory whose threshold has been passed. */
  #takeDue(): HangConfig[] {
    return this.#options.configs().filter(({ hangThresholdMs, profileDir }) => {
      if (this.#seenBlockedMs < hangThresholdMs || this.#reported.has(profileDir)) return false;
      this.#reported.add(profileDir);
      return true;
    });
  }

  async #report(due: readonly HangConfig[], isFirst: boolean): Promise<void> {
    try {
      const { sources } = this.#options;
      if (await sources.main.isPausedByDebugger()) return;
      const within = due.filter(({ profileDir }) => this.#spend(profileDir));
      const before = sources.blocked();
      if (within.length === 0 || !before) return;
      const name = snapshotName({ takenAtMs: Date.now(), reason: 'hang', pid: process.pid }) + REPORT_SUFFIX;
      const reports = within.map((config) => new ReportFile(config, name));
      const found = await this.#look(before, reports);
      // How it is blocked shows when it is asked; it may have gone on meanwhile.
      const report = reportOf(sources.blocked() ?? before, found);
      const [file] = await Promise.all(reports.map((each) => each.write(report)));
      if (!isFirst) return;
      const line = { ...report, stack: found.stack.slice(0, MAX_LINE_FRAMES), hottest: undefined, file };
      await writeToStderr(JSON.stringify(line));
    } catch {
      // A report that cannot be made is not worth an error in the sidecar, which has other things to answer.
    }
  }

  /** Whether there may be one more in that directory. */
  #spend(profileDir: string): boolean {
    const nowMs = performance.now();
    const lastHour = (this.#reportedAtMs.get(profileDir) ?? []).filter((atMs) => atMs > nowMs - 3_600_000);
    const may = lastHour.length < MAX_REPORTS_PER_HOUR;
    this.#reportedAtMs.set(profileDir, may ? [...lastHour, nowMs] : lastHour);
    return may;
  }

  /** Whoever kills the process does not wait for it, so that what is certain is written down before. */
  async #look(blocked: BlockedState, reports: readonly ReportFile[]): Promise<Found> {
    if (blocked.kind === 'unknown') return NOTHING;
    const certain = { ...blocked, kind: blocked.kind === 'native' ? blocked.kind : ('unknown' as const) };
    const written = Promise.all(reports.map((each) => each.write(reportOf(certain, NOTHING))));
    const refused = new AbortController();
    const looking = this.#hottest(blocked.forMs, refused.signal);
    const stack = await this.#stack();
    // Native code that does not tell its stack does not give its samples either.
    if (!stack) refused.abort();
    const found = { stack: stack ?? [], hottest: await looking };
    await written;
    return found;
  }

  /** Undefined when nothing gets in. */
  async #stack(): Promise<string[] | undefined> {
    const { sources } = this.#options;
    try {
      const stack = await sources.stack();
      const { stacks } = await sources.symbolizer.symbolize(stack ? [stack] : [], () => Promise.resolve());
      return (stacks[0] ?? []).map(shown);
    } catch {
      return undefined;
    }
  }

  /** Where the time went since the loop was blocked, as far as samples get out. */
  async #hottest(forMs: number, signal: AbortSignal): Promise<HotStack[]> {
    const { sources } = this.#options;
    try {
      const toMicros = Date.now() * 1000;
      const window = await sources.recorder().window(toMicros - forMs * 1000, toMicros, signal);
      const stacks = (await cpuStacksOf(window, () => Promise.resolve()))
        .sort((a, b) => b.cpuNanos - a.cpuNanos)
        .slice(0, MAX_STACKS);
      const symbolized = await sources.symbolizer.symbolize(
        stacks.map((stack) => stack.frames),
        () => Promise.resolve(),
      );
      return stacks.map(({ cpuNanos }, index) => ({
        cpuMs: cpuNanos / 1e6,
        frames: (symbolized.stacks[index] ?? []).map(shown),
      }));
    } catch {
      return [];
    }
  }
}

/** The report of one hang in one directory. */
class ReportFile {
  readonly #config: HangConfig;
  readonly #directory: string;
  readonly #path: string;
  #isThere = false;

  constructor(config: HangConfig, name: string) {
    this.#config = config;
    this.#directory = resolve(config.profileDir);
    this.#path = join(this.#directory, name);
  }

  /** Writes a file that is whole or not there, over the one from before; gives its path, or null when there is none. */
  async write(report: object): Promise<string | null> {
    const data = `${JSON.stringify(report, undefined, 2)}\n`;
    try {
      await ensureDirectory(this.#directory);
      if (!this.#isThere) await this.#makeRoom(data);
      await replaceFile(this.#path, data);
      this.#isThere = true;
    } catch {
      // The one from before is whole.
    }
    return this.#isThere ? this.#path : null;
  }

  async #makeRoom(data: string): Promise<void> {
    const room = { count: 1, sizeBytes: Buffer.byteLength(data), nowMs: Date.now(), forReports: true };
    await makeRoom(this.#directory, this.#config.snapshots, room);
  }
}

function reportOf(
  blocked: BlockedState,
  found: Found,
): BlockedState & Found & { event: string; pid: number } {
  const forMs = Math.round(blocked.forMs);
  return { event: 'loopprof.hang', pid: process.pid, ...blocked, forMs, ...found };
}

function shown({ name, file, line, column }: PprofFrame): string {
  return file ? `${name} ${file}:${line}:${column}` : name;
}
