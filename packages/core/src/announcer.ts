import type { EventEmitter } from 'node:events';
import type { ResolvedConfig } from './config.js';
import { messageOf, type LoopprofError } from './errors.js';
import { LineBudget } from './line-budget.js';
import type { Logger } from './logger.js';
import type { ProfilerEvents } from './profiler-events.js';
import type { Stall } from './recorder/stalls.js';
import type { Snapshot } from './snapshots/snapshot.js';
import type { Reporter, Thread } from './thread.js';

interface Run {
  readonly thread: Thread;
  readonly config: ResolvedConfig;
}

/** Announcer tells the listeners of a profiler, and its log, what happens. */
export class Announcer {
  readonly #emitter: EventEmitter<ProfilerEvents>;
  readonly #logger: Logger;
  readonly #isSilent: boolean;
  readonly #stallLines = new LineBudget();
  readonly #reporter: Reporter = {
    report: (level, message, error) =>
      this.#logger[level](error ? { err: error } : {}, `loopprof: ${message}`),
  };
  #run: Run | undefined;
  #unsubscribe: (() => void) | undefined;
  #unsubscribeStalls: (() => void) | undefined;

  /** @param log With `isSilent` unless the host has given one. */
  constructor(emitter: EventEmitter<ProfilerEvents>, log: { logger: Logger; isSilent: boolean }) {
    this.#emitter = emitter;
    this.#logger = log.logger;
    this.#isSilent = log.isSilent;
    // What the thread shares must not hold on to a profiler, and its realm, for an event that nobody wants.
    emitter.on('newListener', (event) => {
      if (event === 'slowRequest') queueMicrotask(() => this.#watchSlowRequests());
      if (event === 'stall') queueMicrotask(() => this.#watchStalls());
    });
  }

  start(thread: Thread, config: ResolvedConfig): void {
    this.#run = { thread, config };
    if (!this.#isSilent) thread.reporters.add(this.#reporter);
    this.#watchSlowRequests();
    this.#watchStalls();
  }

  stop(): void {
    this.#run?.thread.reporters.delete(this.#reporter);
    this.#unsubscribe?.();
    this.#unsubscribeStalls?.();
    this.#run = this.#unsubscribe = this.#unsubscribeStalls = undefined;
  }

  snapshotTaken(snapshot: Snapshot, durationMs: number): void {
    const { reason, directory } = snapshot;
    this.#logger.info({ reason, directory, durationMs }, `loopprof: snapshot taken: ${directory}`);
    this.#tell('snapshot', () => this.#emitter.emit('snapshot', snapshot));
  }

  /** Of one that nobody waits for. */
  snapshotFailed(error: LoopprofError): void {
    if (error.code === 'LOOPPROF_NOT_STARTED') return;
    // What cannot be written the store has logged.
    if (error.code !== 'LOOPPROF_WRITE_FAILED')
      this.#logger.error({ err: error }, `loopprof: a snapshot failed: ${error.message}`);
    if (this.#isAwaited('error')) this.#tell('error', () => this.#emitter.emit('error', error));
  }

  #watchSlowRequests(): void {
    if (!this.#run || this.#unsubscribe || !this.#isAwaited('slowRequest')) return;
    const { thread, config } = this.#run;
    this.#unsubscribe = thread.monitor.requests.subscribe((timing) => {
      if (!this.#isAwaited('slowRequest')) return;
      this.#tell('slowRequest', () => this.#emitter.emit('slowRequest', timing));
    }, config.slowRequestMs);
  }

  #watchStalls(): void {
    if (!this.#run || this.#unsubscribeStalls) return;
    if (this.#isSilent && !this.#isAwaited('stall')) return;
    const run = this.#run;
    const listener = (stall: Stall): void => {
      this.#logStall(stall, run);
      if (this.#isAwaited('stall')) this.#tell('stall', () => this.#emitter.emit('stall', stall));
    };
    const { stallListeners } = run.thread;
    stallListeners.add(listener);
    this.#unsubscribeStalls = () => void stallListeners.delete(listener);
  }

  #logStall(stall: Stall, { thread, config }: Run): void {
    const { durationMs, cause, method, route, waitingRequests, stacks } = stall;
    // One line, however many profilers share the thread.
    const [reporter] = thread.reporters;
    const leftOut = reporter === this.#reporter ? this.#stallLines.spend() : undefined;
    if (leftOut === undefined) return;
    const leaf = stacks[0]?.frames.find(({ url }) => url !== '' && !url.startsWith('node:'));
    const where = leaf ? ` in ${leaf.functionName || '(anonymous)'} ${leaf.url}:${leaf.line}` : '';
    const by = method === '' ? route : `${method} ${route}`;
    const level = durationMs >= config.hangThresholdMs ? 'warn' : 'info';
    this.#logger[level](
      { durationMs, cause, method, route, waitingRequests, ...(leftOut > 0 ? { leftOut } : {}) },
      `loopprof: the event loop was held for ${Math.round(durationMs)} ms by ${by} (${cause})${where}`,
    );
  }

  #isAwaited(event: keyof ProfilerEvents): boolean {
    return this.#emitter.listenerCount(event) > 0;
  }

  /** What a listener throws is not the host's exception. */
  #tell(event: string, emit: () => void): void {
    try {
      emit();
    } catch (error) {
      this.#logger.error({ err: error }, `loopprof: a listener of '${event}' failed: ${messageOf(error)}`);
    }
  }
}
