/**
 * Work in libuv's thread pool from before a watch on it began. Node counts requests to the file system and for names; of crypto and
 * compression it is only known when they come back, so that there were as many at least.
 */
import { threadsForNames } from './thread-pool.js';

/** The native objects that stand for it. */
const FILES = /^(FSReq|FileHandleCloseReq)/;
const NAMES = /^Get(Addr|Name)InfoReq/;
const OTHERS = /^(Zlib|Brotli|Zstd)|Job$/;

export class ForeignWork {
  readonly #threads: number;
  /** What had a thread, or was in line for one, as far as it is known by now; also the piece that has come behind it. */
  #atStart: number;
  #files = 0;
  #names = 0;

  constructor(threads: number) {
    this.#threads = threads;
    for (const name of process.getActiveResourcesInfo()) {
      if (FILES.test(name)) this.#files += 1;
      else if (NAMES.test(name)) this.#names += 1;
    }
    this.#atStart = this.#left;
  }

  /** How many threads it may have now, once all of it has been taken up: those that are known of. */
  get threads(): number {
    return Math.min(this.#threads - 1, this.#left);
  }

  /** Whether there was so much of it that a piece behind it, which has come back just now, had to wait. */
  get tookAll(): boolean {
    return this.#atStart > this.#threads;
  }

  /** Something has come back. Gives whether that was work of the pool. */
  completed({ constructor: { name } }: object): boolean {
    if (FILES.test(name)) this.#files = Math.max(0, this.#files - 1);
    else if (NAMES.test(name)) this.#names = Math.max(0, this.#names - 1);
    else if (OTHERS.test(name)) this.#atStart += 1;
    else return false;
    return true;
  }

  get #left(): number {
    return this.#files + Math.min(this.#names, threadsForNames(this.#threads));
  }
}
