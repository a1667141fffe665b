import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { SnapshotLimits } from '../config.js';
import { isLoopprofError, LoopprofError, messageOf } from '../errors.js';
import type { Logger } from '../logger.js';
import { createDirectory, ensureDirectory } from './directory.js';
import { replaceFile, syncDirectory, unfinishedName, writeNewFile, type FileContent } from './files.js';
import { makeRoom, snapshotName, type SnapshotId } from './retention.js';

export interface StoreOptions {
  /** Absolute. */
  readonly directory: string;
  readonly limits: SnapshotLimits;
  readonly logger: Logger;
}

/** Age is looked after this often once something has been written. */
const PRUNE_EVERY_MS = 3_600_000;

/** What a rename to a name that is taken fails with, by what has taken it. */
const TAKEN = ['ENOTEMPTY', 'EEXIST', 'ENOTDIR'];

const MAX_NAMES = 100;

/** The files in `profileDir`. Everything rejects with LOOPPROF_WRITE_FAILED; a disk that stays full is logged once. */
export class SnapshotStore {
  readonly directory: string;
  readonly #limits: SnapshotLimits;
  readonly #logger: Logger;
  #failure: string | undefined;
  #pruning: NodeJS.Timeout | undefined;

  constructor({ directory, limits, logger }: StoreOptions) {
    this.directory = directory;
    this.#limits = limits;
    this.#logger = logger;
  }

  /** Makes sure that there is a directory to write to, so that nothing is captured in vain. */
  async prepare(): Promise<void> {
    try {
      await ensureDirectory(this.directory);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /**
   * Writes a snapshot, which appears with all its files at once; gives its directory. `onWritten` is called before it appears; when
   * that throws, nothing is left.
   */
  async writeSnapshot(
    id: SnapshotId,
    files: readonly FileContent[],
    onWritten?: () => void,
  ): Promise<string> {
    return this.#attempt(async () => {
      const sizeBytes = files.reduce((sum, { data }) => sum + Buffer.byteLength(data), 0);
      if (sizeBytes > this.#limits.maxBytes)
        throw new Error(
          `${sizeBytes} bytes are more than \`snapshots.maxBytes\` allows (${this.#limits.maxBytes})`,
        );
      await ensureDirectory(this.directory);
      await makeRoom(this.directory, this.#limits, { count: 1, sizeBytes, nowMs: Date.now() });
      this.#keepPruning();
      const unfinished = unfinishedName(this.directory);
      try {
        await createDirectory(unfinished);
        for (const { name, data } of files) await writeNewFile(join(unfinished, name), data);
        await syncDirectory(unfinished);
        onWritten?.();
        return await this.#publish(unfinished, id);
      } catch (error) {
        await rm(unfinished, { recursive: true, force: true }).catch(() => {});
        throw error;
      }
    });
  }

  /** Writes a file under its own name, over the one from before; gives its path. */
  async writeFile({ name, data }: FileContent): Promise<string> {
    return this.#attempt(async () => {
      const path = join(this.directory, name);
      await ensureDirectory(this.directory);
      await replaceFile(path, data);
      return path;
    });
  }

  /** Stops looking after the age of what is there. */
  close(): void {
    clearInterval(this.#pruning);
    this.#pruning = undefined;
  }

  /** Another process may have taken the name: processes in containers often have the same pid. */
  async #publish(unfinished: string, id: SnapshotId): Promise<string> {
    const lastMs = id.takenAtMs + MAX_NAMES;
    for (let { takenAtMs } = id; ; takenAtMs++) {
      const path = join(this.directory, snapshotName({ ...id, takenAtMs }));
      try {
        await rename(unfinished, path);
        await syncDirectory(this.directory);
        return path;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (takenAtMs === lastMs || !TAKEN.includes(code ?? '')) throw error;
      }
    }
  }

  #keepPruning(): void {
    this.#pruning ??= setInterval(() => {
      makeRoom(this.directory, this.#limits, { count: 0, sizeBytes: 0, nowMs: Date.now() }).catch(() => {
        // The next snapshot will say so.
      });
    }, PRUNE_EVERY_MS).unref();
  }

  async #attempt<T>(write: () => Promise<T>): Promise<T> {
    try {
      const result = await write();
      this.#succeeded();
      return result;
    } catch (error) {
      // Whoever has given it up, the disk is not to blame.
      if (isLoopprofError(error) && error.code === 'LOOPPROF_ABORTED') throw error;
      throw this.#failed(error);
    }
  }

  #succeeded(): void {
    if (this.#failure === undefined) return;
    this.#failure = undefined;
    this.#logger.info({ profileDir: this.directory }, 'loopprof: `profileDir` can be written to again');
  }

  #failed(error: unknown): LoopprofError {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    const failure = new LoopprofError(
      'LOOPPROF_WRITE_FAILED',
      `Nothing could be written to \`profileDir\` '${this.directory}': ${messageOf(error).replace(/\.$/, '')}. Make room or mend the rights, or set another profileDir.`,
      { cause: error },
    );
    const level = this.#failure === code ? 'debug' : 'error';
    this.#failure = code;
    this.#logger[level]({ err: failure, profileDir: this.directory }, `loopprof: ${failure.message}`);
    return failure;
  }
}
