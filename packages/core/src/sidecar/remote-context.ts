/** One profiler in the sidecar: its routes, made from copies of what the main thread has, and its standalone server. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AccessRequest } from '../config.js';
import { isLoopprofError, LoopprofError } from '../errors.js';
import { serverAccess } from '../http/access.js';
import type { CaptureBudget } from '../http/capture-budget.js';
import { createHandler, type ProcessStatus } from '../http/handler.js';
import { startStandaloneServer, type StandaloneServer } from '../http/node-server.js';
import type { Logger } from '../logger.js';
import type { JsonDocument } from '../profiles/document.js';
import type { Capture, CaptureRequest, Profile } from '../profiles/profile.js';
import { createRegistry, ProfileRegistry } from '../profiles/registry.js';
import type { ProfileSources } from '../profiles/sources.js';
import { watchedRules } from '../trigger-rules.js';
import type { Line } from './line.js';
import type { MainThread } from './main-thread.js';
import type { Pulse } from './pulse.js';
import { StandIn } from './stand-in.js';
import type { DocumentFacts, ProfileFacts, SentCaptured, SentContext, SentLog } from './protocol.js';

/** The page that says what works is there at once, whatever else is not. */
const STATUS_DEADLINE_MS = 120;

const DOCUMENT_DEADLINE_MS = 1000;

/** A remembered document is asked for within that time, so that it can be served while nothing else can. */
const REMEMBERED_DEADLINE_MS = 300;

/** How old what is kept may be. */
const REMEMBER_EVERY_MS = 5000;

/** A profile of the main thread's own is given up when that is blocked so long after it should have been there. */
const CAPTURE_GRACE_MS = 2000;

/** A recording may hold a lot, and is written down while the main thread works. */
const RECORDING_GRACE_MS = 30_000;

/** An event loop that has returned by then does itself what it is to do. */
const RETURN_WITHIN_MS = 1000;

const LOOK_EVERY_MS = 20;

/** A snapshot of the main thread's is given up when that is blocked so long after it was asked for. */
const SNAPSHOT_DEADLINE_MS = 10_000;

/** The app's own hook has more time as long as the event loop turns. */
const AUTHORIZE_DEADLINE_MS = 2000;

export interface RemoteParts {
  readonly line: Line;
  readonly pulse: Pulse;
  readonly budget: CaptureBudget;
  readonly main: MainThread;
  readonly sources: ProfileSources;
}

export class RemoteContext {
  /** Looks at the rules of `triggers`, and takes snapshots, while the main thread cannot. */
  readonly standIn: StandIn;
  readonly #parts: RemoteParts;
  readonly #sent: SentContext;
  readonly #registry: ProfileRegistry;
  readonly #remembered = new Map<string, { value: object; atMs: number }>();
  #rememberedAtMs = -Infinity;
  #status: ProcessStatus = { facts: [], problems: [] };
  #listening: Promise<StandaloneServer> | undefined;

  constructor(parts: RemoteParts, sent: SentContext) {
    this.#parts = parts;
    this.#sent = sent;
    const local = createRegistry(parts.sources);
    this.#registry = new ProfileRegistry(
      sent.profiles.map(
        (facts) => (facts.offThread ? local.lookup(facts.name) : undefined) ?? this.#profile(facts),
      ),
      sent.documents.map(
        (facts) =>
          (facts.offThread ? local.documents.find(({ name }) => name === facts.name) : undefined) ??
          this.#document(facts),
      ),
      sent.texts.map(({ text, ...facts }) => ({ ...facts, read: () => text })),
    );
    const rules = watchedRules(sent.config.triggers);
    this.standIn = new StandIn({ ...parts, sent, rules, registry: this.#registry, logger: this.#logger() });
    void this.remember();
  }

  get contextId(): number {
    return this.#sent.contextId;
  }

  get config(): SentContext['config'] {
    return this.#sent.config;
  }

  /** Listens; resolves with the URL of the index page. */
  async listen(httpAddr: string): Promise<string> {
    this.#listening = startStandaloneServer(this.#handler(), httpAddr);
    return (await this.#listening).address;
  }

  /** Also one that does not listen yet is closed. */
  async close(): Promise<void> {
    const server = await this.#listening?.catch(() => undefined);
    await server?.close();
    await this.standIn.close();
  }

  /** Makes a profile for a request that the main thread has let in. */
  async capture(name: string, request: CaptureRequest): Promise<Capture> {
    const profile = this.#registry.lookup(name);
    if (!profile) throw new Error(`no profile is called ${name}`);
    return profile.capture(request);
  }

  /** Reads what is kept for when the main thread lets nobody in, unless that was done a moment ago. */
  async remember(): Promise<void> {
    const { main, sources } = this.#parts;
    if (main.late || performance.now() - this.#rememberedAtMs < REMEMBER_EVERY_MS) return;
    try {
      await this.#readStatus();
      await sources.stalls();
      for (const document of this.#registry.documents) if (document.remembered) await document.read();
      this.#rememberedAtMs = performance.now();
    } catch {
      // Asked again soon; what was read last is still there.
    }
  }

  #handler(): ReturnType<typeof createHandler> {
    const { config } = this.#sent;
    const access =
      config.access === 'authorize'
        ? { ask: (request: AccessRequest, signal?: AbortSignal) => this.#authorize(request, signal) }
        : config.access;
    return createHandler({
      registry: this.#registry,
      config: () => config,
      checkAccess: serverAccess(access, config.httpAddr),
      logger: this.#logger(),
      budget: () => this.#parts.budget,
      status: () => this.#statusNow(),
      takeSnapshot: () => this.#takeSnapshot(),
    });
  }

  /** By the main thread, unless its event loop is blocked: then of what can be had meanwhile. */
  async #takeSnapshot(): Promise<object> {
    const { main, sources } = this.#parts;
    const untilMs = performance.now() + RETURN_WITHIN_MS;
    while (main.late && performance.now() < untilMs) await sleep(LOOK_EVERY_MS);
    const blocked = sources.blocked();
    if (blocked) return this.standIn.takeRequested(blocked);
    const patience = { deadlineMs: SNAPSHOT_DEADLINE_MS, inTurns: true };
    return main.ask('snapshot', { contextId: this.contextId }, patience);
  }

  async #authorize(request: AccessRequest, signal: AbortSignal | undefined): Promise<boolean> {
    const options = {
      signal,
      timeoutMs: AUTHORIZE_DEADLINE_MS,
      isAtIt: () => this.#parts.pulse.sinceBeatMs < RETURN_WITHIN_MS,
    };
    try {
      return (
        (await this.#parts.line.ask('authorize', { contextId: this.contextId, request }, options)) === true
      );
    } catch (error) {
      if (!isLoopprofError(error) || error.code !== 'LOOPPROF_LOOP_BLOCKED') throw error;
      throw new LoopprofError(
        error.code,
        'The event loop is blocked, and access.authorize with it. Ask again when it returns; with access: { token } the standalone server answers meanwhile.',
      );
    }
  }

  #logger(): Logger {
    const at = (level: SentLog['level']) => (details: object, message: string) =>
      this.#parts.line.tell('log', {
        contextId: this.contextId,
        level,
        details: cloneable(details),
        message,
      });
    return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  }

  async #readStatus(): Promise<ProcessStatus> {
    const { contextId } = this;
    this.#status = await this.#parts.main.ask('facts', { contextId }, { deadlineMs: STATUS_DEADLINE_MS });
    return this.#status;
  }

  async #statusNow(): Promise<ProcessStatus> {
    let status = this.#status;
    try {
      status = await this.#readStatus();
    } catch (error) {
      if (!isLoopprofError(error) || error.code !== 'LOOPPROF_LOOP_BLOCKED') throw error;
    }
    const blocked = this.#parts.sources.blocked();
    if (!blocked) return status;
    const { kind, forMs, method, route } = blocked;
    const by =
      route === undefined ? '' : `; the last route it has reached is ${method} ${route}`.replace('  ', ' ');
    const problem = `The event loop has been blocked for ${Math.round(forMs)} ms (blocked: ${kind})${by}.`;
    return { facts: status.facts, problems: [...status.problems, problem] };
  }

  #profile(facts: ProfileFacts): Profile {
    return {
      ...facts,
      capture: async ({ signal, ...request }) => {
        const { window, deltaMs = 0, recordMs = 0 } = request;
        const waitMs = window ? window.toMicros / 1000 - Date.now() : deltaMs + recordMs;
        const question = { contextId: this.contextId, name: facts.name, request };
        const graceMs = recordMs > 0 ? RECORDING_GRACE_MS : CAPTURE_GRACE_MS;
        const deadlineMs = Math.max(0, waitMs) + graceMs;
        const options = { deadlineMs, signal, inTurns: true };
        const captured = await this.#parts.main.ask('capture', question, options);
        return captured satisfies SentCaptured;
      },
    };
  }

  #document(facts: DocumentFacts): JsonDocument {
    const read = async (): Promise<object> => {
      const { sources, main } = this.#parts;
      const deadlineMs = facts.remembered ? REMEMBERED_DEADLINE_MS : DOCUMENT_DEADLINE_MS;
      const question = { contextId: this.contextId, name: facts.name };
      try {
        const value = await main.ask('document', question, { deadlineMs });
        if (!facts.remembered) return value;
        this.#remembered.set(facts.name, { value, atMs: Date.now() });
        return { blocked: sources.blocked(), ...value };
      } catch (error) {
        const last = this.#remembered.get(facts.name);
        if (!last || !isLoopprofError(error) || error.code !== 'LOOPPROF_LOOP_BLOCKED') throw error;
        return { blocked: sources.blocked(), readAt: new Date(last.atMs).toISOString(), ...last.value };
      }
    };
    return { ...facts, read };
  }
}

/** Errors lose their class on the way, and functions do not get through. */
function cloneable(details: object): object {
  return Object.fromEntries(
    Object.entries(details).map(([name, value]) => [
      name,
      value instanceof Error ? { message: value.message, stack: value.stack } : value,
    ]),
  );
}
