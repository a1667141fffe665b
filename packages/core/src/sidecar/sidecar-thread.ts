/** The sidecar's thread as the main thread sees it: starts the worker, replaces it when it ends or is stuck, and brings it to rest. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MessageChannel, Worker } from 'node:worker_threads';
import { LoopprofError, messageOf } from '../errors.js';
import { mainProcess } from '../realm.js';
import { Line, type AskOptions, type LineOptions } from './line.js';
import type { SidecarData } from './protocol.js';
import type { Pulse } from './pulse.js';

export interface SidecarThreadOptions {
  readonly pulse: Pulse;
  readonly data: SidecarData;
  /** What every worker may ask. */
  readonly answers: LineOptions;
  /** Told of every worker, the first and those that replace it, before it can have said anything. */
  readonly onStarted: (line: Line) => void;
  /** Told when it has gone, before those who wait for its answers are. */
  readonly onGone: () => void;
  /** Told what went wrong with the worker, and what is done about it. */
  readonly onTrouble: (message: string) => void;
}

/** A worker that ends is replaced after this long, twice as long each time, up to the longest. */
const SHORTEST_BACKOFF_MS = 500;
const LONGEST_BACKOFF_MS = 60_000;

/** A worker that has lived this long starts with the shortest back-off again. */
const HEALTHY_AFTER_MS = 60_000;

/** A sidecar that has not ticked for that long while the main thread turns is stuck. */
const STUCK_AFTER_MS = 10_000;

/** How long an exit may wait for the sidecar, which takes a millisecond or two unless it is stuck. */
const PARK_WITHIN_MS = 200;

/** A thread that is stuck in the system cannot be ended, and nobody waits for that. */
const END_WITHIN_MS = 1000;

/** A sidecar that has not ticked for that long is not waited for. */
const UNHEARD_AFTER_MS = 1500;

/** How often that is looked at while somebody waits. */
const LISTEN_EVERY_MS = 250;

/** Ten times what it takes in a busy process. A thread of Node's has the limit of the whole process otherwise. */
const MAX_HEAP_MB = 256;

const WORKER_FILE = join(__dirname, 'worker.js');

export class SidecarThread {
  readonly #options: SidecarThreadOptions;
  #worker: Worker | undefined;
  #line: Line | undefined;
  #startedAtMs = 0;
  #silent = false;
  /** When it was first found not to tick, if it has not since. */
  #unheardSinceMs = Infinity;
  #backoffMs = SHORTEST_BACKOFF_MS;
  #respawnTimer: NodeJS.Timeout | undefined;
  #stopped = false;
  readonly #onExit = (): void => {
    this.#options.pulse.exiting();
    this.park();
  };

  constructor(options: SidecarThreadOptions) {
    this.#options = options;
  }

  /** Why there can be none here, if so. */
  static get unavailable(): string | undefined {
    return existsSync(WORKER_FILE) ? undefined : `${WORKER_FILE} does not exist (is this app bundled?)`;
  }

  /** Leads to the worker that there is, if there is one. */
  get line(): Line | undefined {
    return this.#line;
  }

  /** How long it has been at work. */
  get activeMs(): number {
    return this.#worker?.performance.eventLoopUtilization().active ?? 0;
  }

  start(): void {
    const { pulse, data, answers, onStarted } = this.#options;
    this.#startedAtMs = performance.now();
    pulse.begin();
    const { port1, port2 } = new MessageChannel();
    // No preloads of the host's: they would run twice, and may patch what the sidecar stands on.
    const worker = new Worker(WORKER_FILE, {
      name: 'loopprof',
      execArgv: [],
      env: { ...process.env, NODE_OPTIONS: '' },
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
      // Left unread. Otherwise Node opens the host's own as streams, and then they no longer wait when a pipe is full.
      stdout: true,
      stderr: true,
      workerData: { ...data, port: port2 },
      transferList: [port2],
    });
    worker.unref();
    const line = new Line(port1, answers);
    port1.unref();
    let ended = false;
    const onEnd = (reason: string): void => {
      if (ended) return;
      ended = true;
      this.#onEnd(worker, reason);
    };
    worker.on('error', (error) => onEnd(messageOf(error)));
    worker.once('exit', (code) => onEnd(`it ended with code ${code}`));
    mainProcess.removeListener('exit', this.#onExit).once('exit', this.#onExit);
    this.#worker = worker;
    this.#line = line;
    onStarted(line);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#respawnTimer);
    mainProcess.removeListener('exit', this.#onExit);
    const worker = this.#worker;
    this.#let();
    if (!worker) return;
    let timer: NodeJS.Timeout | undefined;
    const tooLong = new Promise<void>((resolve) => (timer = setTimeout(resolve, END_WITHIN_MS)));
    await Promise.race([worker.terminate(), tooLong]);
    clearTimeout(timer);
    worker.unref();
  }

  /**
   * A session that is open when the process exits makes Node wait for a debugger, and say so; and Node 20 aborts the process when
   * it ends a worker in the middle of an HTTP request. So the sidecar is brought to rest first, until `unpark()` or its end.
   */
  park(): void {
    const { pulse } = this.#options;
    if (!this.#line || pulse.sinceTickMs > PARK_WITHIN_MS) return;
    const isUp = pulse.letPark();
    this.#line.tell('park', undefined);
    if (isUp) pulse.waitUntilParked(PARK_WITHIN_MS);
  }

  /** The process goes on after all. */
  unpark(): void {
    this.#options.pulse.unpark();
  }

  /** Asks, and waits for as long as the sidecar moves. Rejects with LOOPPROF_NOT_STARTED when it does not. */
  async ask(name: string, args: unknown, { signal, ...options }: AskOptions): Promise<unknown> {
    if (!this.#line) throw sidecarNotRunning();
    const stuck = new AbortController();
    const looking = setInterval(() => {
      if (this.#isStuck()) stuck.abort();
    }, LISTEN_EVERY_MS);
    looking.unref();
    try {
      const signals = signal ? [signal, stuck.signal] : [stuck.signal];
      const answer = this.#line.ask(name, args, { ...options, signal: AbortSignal.any(signals) });
      if (this.#isStuck()) stuck.abort();
      return await answer;
    } catch (error) {
      throw stuck.signal.aborted && !signal?.aborted ? sidecarNotRunning() : error;
    } finally {
      clearInterval(looking);
    }
  }

  /** Called now and then while the event loop turns. */
  check(): void {
    this.#isStuck();
    const wasSilent = this.#silent;
    this.#silent = this.#options.pulse.sinceTickMs >= STUCK_AFTER_MS;
    // After the whole process was stopped we may be the first to move.
    if (!this.#worker || !this.#silent || !wasSilent) return;
    this.#onEnd(this.#worker, `it has not moved for ${STUCK_AFTER_MS / 1000} s`);
  }

  /** After the whole process was stopped we may be the first to move: then it has until the next look. */
  #isStuck(): boolean {
    const nowMs = performance.now();
    this.#unheardSinceMs =
      this.#options.pulse.sinceTickMs < UNHEARD_AFTER_MS ? Infinity : Math.min(this.#unheardSinceMs, nowMs);
    return nowMs - this.#unheardSinceMs >= LISTEN_EVERY_MS;
  }

  #onEnd(worker: Worker, reason: string): void {
    if (worker !== this.#worker || this.#stopped) return;
    this.#let();
    void worker.terminate();
    if (performance.now() - this.#startedAtMs > HEALTHY_AFTER_MS) this.#backoffMs = SHORTEST_BACKOFF_MS;
    this.#replace(reason);
  }

  #replace(reason: string): void {
    this.#options.onTrouble(
      `the sidecar is replaced in ${this.#backoffMs / 1000} s: ${reason}. Until then profiles are made on the main thread, and nobody answers while the event loop is blocked.`,
    );
    this.#respawnTimer = setTimeout(() => this.#respawn(), this.#backoffMs);
    this.#respawnTimer.unref();
    this.#backoffMs = Math.min(LONGEST_BACKOFF_MS, this.#backoffMs * 2);
  }

  #respawn(): void {
    try {
      this.start();
    } catch (error) {
      this.#replace(`it could not be started: ${messageOf(error)}`);
    }
  }

  /** Lets go of the worker and of all that hangs on it. */
  #let(): void {
    const line = this.#line;
    this.#worker = this.#line = undefined;
    this.#options.pulse.down();
    this.#options.onGone();
    line?.close(sidecarNotRunning());
  }
}

export function sidecarNotRunning(): LoopprofError {
  return new LoopprofError('LOOPPROF_NOT_STARTED', 'The sidecar is not running.');
}
