/** Drives Chromium's DevTools, through the pipe that it is started with. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { toolPath } from './tools.js';

interface Message {
  id?: number;
  error?: { message: string };
  result?: Record<string, unknown>;
}

/** A page of DevTools itself, in which its modules can be imported. */
export class DevToolsPage {
  readonly #folder = mkdtempSync(join(tmpdir(), 'loopprof-chromium-'));
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (message: Message) => void>();
  #lastId = 0;
  #session: string | undefined;

  constructor() {
    const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--remote-debugging-pipe'];
    this.#child = spawn(toolPath('chromium') as string, [...flags, `--user-data-dir=${this.#folder}`], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    });
    let text = '';
    (this.#child.stdio[4] as Readable).setEncoding('utf8').on('data', (piece: string) => {
      const messages = (text + piece).split('\0');
      text = messages.pop() as string;
      for (const each of messages) {
        const message = JSON.parse(each) as Message;
        if (message.id !== undefined) this.#waiting.get(message.id)?.(message);
      }
    });
  }

  async open(): Promise<void> {
    const { targetId } = await this.#send('Target.createTarget', {
      url: 'devtools://devtools/bundled/devtools_app.html',
    });
    const { sessionId } = await this.#send('Target.attachToTarget', { targetId, flatten: true });
    this.#session = sessionId as string;
    // It is open when it can be asked for its modules.
    for (;;) {
      if ((await this.evaluate('location.protocol')) === 'devtools:') return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** The value of an expression, awaited. */
  async evaluate(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = (await this.#send('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
    })) as { result: { value?: unknown }; exceptionDetails?: object };
    if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
    return result.value;
  }

  async close(): Promise<void> {
    this.#child.kill('SIGKILL');
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  async #send(method: string, params: object): Promise<Record<string, unknown>> {
    const id = ++this.#lastId;
    const answered = new Promise<Message>((resolve) => this.#waiting.set(id, resolve));
    const { error, result } = await (async () => {
      const sessionId = this.#session === undefined ? {} : { sessionId: this.#session };
      (this.#child.stdio[3] as Writable).write(`${JSON.stringify({ id, method, params, ...sessionId })}\0`);
      return answered;
    })();
    this.#waiting.delete(id);
    if (error) throw new Error(`${method}: ${error.message}`);
    return result ?? {};
  }
}
