/** Questions and answers between two threads, over one MessagePort. */
import { AsyncResource } from 'node:async_hooks';
import { receiveMessageOnPort, type MessagePort } from 'node:worker_threads';
import { isLoopprofError, LoopprofError, messageOf, type LoopprofErrorCode } from '../errors.js';

/** Answers one kind of question; what it gives must survive the structured clone. */
export type Answerer = (args: never, signal: AbortSignal) => unknown;

export interface LineOptions {
  /** Answered wherever they arrive, also inside a blocked event loop, so they must not wait, nor run code of the host's. */
  readonly atOnce?: Readonly<Record<string, Answerer>>;
  /** Answered in a turn of the event loop of their own. */
  readonly inTurn?: Readonly<Record<string, Answerer>>;
}

export interface AskOptions {
  readonly signal?: AbortSignal | undefined;
  /** Rejects with LOOPPROF_LOOP_BLOCKED after that time. */
  readonly timeoutMs?: number;
  /** Asked when that time is over: whether the other side is still at it, and shall have some more. */
  readonly isAtIt?: () => boolean;
  /** Keeps this thread alive until the answer is there. */
  readonly keepAlive?: boolean;
}

const LOOK_AGAIN_MS = 100;

interface Question {
  readonly kind: 'question';
  readonly id: number;
  readonly name: string;
  readonly args: unknown;
}

interface Answer {
  readonly kind: 'answer';
  readonly id: number;
  readonly value?: unknown;
  readonly error?: { readonly code: LoopprofErrorCode; readonly message: string };
}

interface GivenUp {
  readonly kind: 'given up';
  readonly id: number;
}

type Message = Question | Answer | GivenUp;

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class Line {
  readonly #port: MessagePort;
  readonly #options: LineOptions;
  readonly #waiting = new Map<number, Waiting>();
  readonly #answering = new Map<number, AbortController>();
  readonly #context = new AsyncResource('loopprof.line');
  #lastId = 0;
  #keepingAlive = 0;
  #closed: LoopprofError | undefined;

  constructor(port: MessagePort, options: LineOptions) {
    this.#port = port;
    this.#options = options;
    port.on('message', (message: Message) => this.#take(message, false));
  }

  /** Asks the other side; rejects with its error. */
  ask(name: string, args: unknown, options: AskOptions = {}): Promise<unknown> {
    const { signal, timeoutMs, isAtIt, keepAlive } = options;
    if (this.#closed) return Promise.reject(this.#closed);
    if (signal?.aborted) return Promise.reject(aborted());
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const giveUp = (error: Error): void => {
        waiting.reject(error);
        this.#post({ kind: 'given up', id });
      };
      const onAbort = (): void => giveUp(aborted());
      let timer: NodeJS.Timeout | undefined;
      const giveUpAfter = (timeMs: number): void => {
        timer = setTimeout(() => {
          if (isAtIt?.()) giveUpAfter(LOOK_AGAIN_MS);
          else giveUp(loopBlocked());
        }, timeMs).unref();
      };
      if (timeoutMs !== undefined) giveUpAfter(timeoutMs);
      if (keepAlive && ++this.#keepingAlive === 1) this.#port.ref();
      const settle = (): void => {
        if (keepAlive && --this.#keepingAlive === 0) this.#port.unref();
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#waiting.delete(id);
      };
      const waiting: Waiting = {
        resolve: (value) => {
          settle();
          resolve(value);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      };
      this.#waiting.set(id, waiting);
      signal?.addEventListener('abort', onAbort, { once: true });
      try {
        this.#post({ kind: 'question', id, name, args });
      } catch (error) {
        waiting.reject(error as Error);
      }
    });
  }

  /** Says something that needs no answer. */
  tell(name: string, args: unknown): void {
    this.#post({ kind: 'question', id: 0, name, args });
  }

  /** Takes what has arrived, here and now: inside a callback that keeps the event loop from delivering it. */
  drain(): void {
    for (;;) {
      const received = receiveMessageOnPort(this.#port) as { message: Message } | undefined;
      if (!received) return;
      this.#take(received.message, true);
    }
  }

  /** Nobody answers any more; whoever waits is told so. */
  close(reason: LoopprofError): void {
    if (this.#closed) return;
    this.#closed = reason;
    for (const waiting of [...this.#waiting.values()]) waiting.reject(reason);
    for (const controller of this.#answering.values()) controller.abort();
    this.#port.close();
  }

  #take(message: Message, blocked: boolean): void {
    if (message.kind === 'given up') this.#answering.get(message.id)?.abort();
    else if (message.kind === 'question') this.#answer(message, blocked);
    else if (message.error)
      this.#waiting.get(message.id)?.reject(new LoopprofError(message.error.code, message.error.message));
    else this.#waiting.get(message.id)?.resolve(message.value);
  }

  #answer(question: Question, blocked: boolean): void {
    const { atOnce = {}, inTurn = {} } = this.#options;
    const immediate = Object.hasOwn(atOnce, question.name) ? atOnce[question.name] : undefined;
    if (immediate) {
      try {
        this.#reply(question.id, immediate(question.args as never, NEVER));
      } catch (error) {
        this.#replyError(question.id, error);
      }
      return;
    }
    const answerer = Object.hasOwn(inTurn, question.name) ? inTurn[question.name] : undefined;
    if (!answerer) {
      this.#replyError(question.id, new Error(`nobody here answers "${question.name}"`));
      return;
    }
    const controller = new AbortController();
    if (question.id !== 0) this.#answering.set(question.id, controller);
    const answer = (): void => {
      // Nobody waits for it here: what it rejects with would be the process's end.
      this.#answerInTurn(question, answerer, controller.signal).catch(() => {});
    };
    // Not in the asynchronous context of what the sidecar has interrupted: that is some request's, as is what is done right here.
    if (blocked) setImmediate(() => this.#context.runInAsyncScope(answer)).unref();
    else answer();
  }

  async #answerInTurn({ id, args }: Question, answerer: Answerer, signal: AbortSignal): Promise<void> {
    try {
      if (signal.aborted) throw aborted();
      this.#reply(id, await answerer(args as never, signal));
    } catch (error) {
      this.#replyError(id, error);
    } finally {
      this.#answering.delete(id);
    }
  }

  #reply(id: number, value: unknown): void {
    if (id !== 0) this.#post({ kind: 'answer', id, value });
  }

  #replyError(id: number, error: unknown): void {
    const code = isLoopprofError(error) ? error.code : 'LOOPPROF_INTERNAL';
    if (id !== 0) this.#post({ kind: 'answer', id, error: { code, message: messageOf(error) } });
  }

  #post(message: Message): void {
    if (!this.#closed) this.#port.postMessage(message);
  }
}

const NEVER = new AbortController().signal;

/** What whoever has given up is told. */
export function aborted(): LoopprofError {
  return new LoopprofError('LOOPPROF_ABORTED', 'The caller gave up before the answer was there.');
}

/** What is answered when nothing gets into the main thread, which may not even be tried. */
export function loopBlocked(doorClosedBecause?: string): LoopprofError {
  const why =
    doorClosedBecause === undefined
      ? 'in native code, which lets nothing in'
      : `and nothing may get in: ${doorClosedBecause}`;
  return new LoopprofError(
    'LOOPPROF_LOOP_BLOCKED',
    `The event loop is blocked ${why}. Ask again when it returns: what was sampled meanwhile will be in the next window.`,
  );
}
