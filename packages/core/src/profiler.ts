import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isMainThread } from 'node:worker_threads';
import { resolveConfig, type Access, type ProfilerConfig, type ResolvedConfig } from './config.js';
import { isLoopprofError, LoopprofError, messageOf } from './errors.js';
import { mountedAccess, standaloneAccess, type AccessCheck } from './http/access.js';
import { createHandler, type ProcessStatus } from './http/handler.js';
import type { PprofHandler } from './http/message.js';
import { startStandaloneServer, type StandaloneServer } from './http/node-server.js';
import { LineBudget } from './line-budget.js';
import { guardedLogger, silentLogger, type Logger } from './logger.js';
import type { RequestTiming, RouteAtEnd } from './monitor/request-timing.js';
import { runtimeMetrics, type RuntimeMetrics } from './monitor/runtime.js';
import type { Capture, CaptureRequest, Profile } from './profiles/profile.js';
import { createRegistry, factsOf, ProfileRegistry } from './profiles/registry.js';
import { mainProcess } from './realm.js';
import type { Stall } from './recorder/stalls.js';
import { leaseThread, type ThreadLease } from './shared.js';
import type { SidecarContext } from './sidecar/sidecar.js';
import { Symbolizer } from './symbols/symbolizer.js';
import type { Thread, ThreadOptions } from './thread.js';

/** Who may read at one mount. */
export interface HandlerAccess {
  access?: Access | undefined;
  /** @default true */
  inheritAccess?: boolean;
}

/** Events of a Profiler, with what its listeners are given. */
export interface ProfilerEvents {
  /** A request took `slowRequestMs` or longer. Emitted some 60 ms after its end, when all that is known of it is known. */
  slowRequest: [timing: RequestTiming];
  /** A callback held the event loop for `stallThresholdMs` or longer. Emitted when it is over and its samples are there. */
  stall: [stall: Stall];
  newListener: [event: string | symbol, listener: (...args: unknown[]) => void];
}

/**
 * Profiler records what the process does from `start()` on and serves it as Go's `net/http/pprof` does.
 *
 * Any number of profilers share one recorder per thread; the options of the sampler come from the first that starts.
 *
 * @example
 * ```ts
 * import { Profiler } from '@loopprof/core';
 *
 * const profiler = new Profiler({ httpAddr: 'localhost:6060' });
 * await profiler.start();
 * console.log(profiler.address); // http://127.0.0.1:6060/debug/pprof/
 * // … go tool pprof http://localhost:6060/debug/pprof/profile
 * await profiler.stop();
 * ```
 */
export class Profiler extends EventEmitter<ProfilerEvents> {
  readonly #given: Partial<ProfilerConfig>;
  readonly #logger: Logger;
  readonly #isSilent: boolean;
  /** What is made on this thread. */
  readonly #local = createRegistry({
    recorder: () => this.#thread().session.recorder(),
    heapRecorder: () => this.#thread().session.heapRecorder(),
    stalls: () => this.#thread().readStalls(),
    blockReading: () => this.#thread().readBlocks(),
    // Whoever asks here has found the event loop turning.
    stack: () => undefined,
    blocked: () => null,
    monitor: () => this.#thread().monitor,
    settledMonitor: () => this.#settledMonitor(),
    symbolizer: new Symbolizer(),
    mappingFile: mainProcess.argv[1] ?? mainProcess.execPath,
  });
  /** The same, in the sidecar where that can be. */
  readonly #registry = new ProfileRegistry(
    [...this.#local].map((profile) =>
      profile.offThread ? { ...profile, capture: (request) => this.#capture(profile, request) } : profile,
    ),
    this.#local.documents,
  );
  #config: ResolvedConfig | undefined;
  #lease: ThreadLease | undefined;
  #contextId: number | undefined;
  #address: string | undefined;
  #server: StandaloneServer | undefined;
  #serverProblem: LoopprofError | undefined;
  #unsubscribe: (() => void) | undefined;
  #unsubscribeStalls: (() => void) | undefined;
  readonly #stallLines = new LineBudget();
  #refusedConfig: LoopprofError | undefined;
  #toldAboutAccess = false;

  /**
   * @param config Fields that differ from `defaultProfilerConfig()`; checked by `start()`.
   * @param logger Anything of pino's shape; without one nothing is logged.
   */
  constructor(config: Partial<ProfilerConfig> = {}, logger: Logger = silentLogger) {
    super();
    this.#given = config;
    this.#logger = guardedLogger(logger);
    this.#isSilent = logger === silentLogger;
    // What the thread shares must not hold on to a profiler, and its realm, for an event that nobody wants.
    this.on('newListener', (event) => {
      if (event === 'slowRequest') queueMicrotask(() => this.#watchSlowRequests());
      if (event === 'stall') queueMicrotask(() => this.#watchStalls());
    });
  }

  /** URL of the standalone server's index page, such as `http://127.0.0.1:6060/debug/pprof/`; undefined while it does not listen. */
  get address(): string | undefined {
    return this.#address;
  }

  /** Whether `start()` has been called and `stop()` has not. */
  get running(): boolean {
    return this.#config !== undefined;
  }

  /**
   * Starts the recorder, unless another profiler of this thread has, and the standalone server.
   *
   * Rejects with LOOPPROF_INVALID_CONFIG, and with LOOPPROF_ALREADY_STARTED for a second start. An engine that does not load or
   * an address that is taken does not reject: the app lives on, an error is logged, and the index page says what is missing.
   */
  async start(): Promise<void> {
    if (this.#config) {
      throw new LoopprofError(
        'LOOPPROF_ALREADY_STARTED',
        'This profiler is already started: stop() it first, or use the running one.',
      );
    }
    const config = this.#resolve();
    this.#config = config;
    this.#startRecorder(config);
    if (!config.enableHTTP) return;
    try {
      await this.#listen(config);
    } catch (error) {
      if (this.#config !== config) return;
      this.#serverProblem = asLoopprofError(error);
      this.#logger.error({ err: error }, `loopprof: ${messageOf(error)}`);
    }
  }

  /** Closes the standalone server and gives up this profiler's share in the recorder; the last one stops it. Idempotent. */
  async stop(): Promise<void> {
    const server = this.#server;
    const lease = this.#lease;
    const contextId = this.#contextId;
    if (lease?.thread.logOwner === this) lease.thread.logOwner = undefined;
    this.#unsubscribe?.();
    this.#unsubscribeStalls?.();
    this.#unsubscribe = this.#unsubscribeStalls = undefined;
    this.#config = this.#server = this.#lease = this.#serverProblem = undefined;
    this.#contextId = this.#address = undefined;
    if (contextId !== undefined) await lease?.thread.sidecar?.detach(contextId);
    await lease?.release();
    await server?.close();
  }

  async #listen(config: ResolvedConfig): Promise<void> {
    if (!isMainThread) {
      throw new LoopprofError(
        'LOOPPROF_ADDRESS_UNAVAILABLE',
        'The standalone server is not started in a worker thread of the app: mount the routes, or start a profiler on the main thread.',
      );
    }
    const { sidecar } = this.#thread();
    if (sidecar?.running && this.#contextId !== undefined) {
      const address = await sidecar.listen(this.#contextId, config.httpAddr);
      if (this.#config === config) this.#address = address;
      return;
    }
    const server = await startStandaloneServer(
      this.#handlerWith(standaloneAccess(config.access)),
      config.httpAddr,
    );
    if (this.#config === config) {
      this.#server = server;
      this.#address = server.address;
    } else await server.close();
  }

  /** The process in numbers, as `/runtime` serves them. Cheap; throws LOOPPROF_NOT_STARTED when the profiler is not running. */
  reportMetrics(): RuntimeMetrics {
    return runtimeMetrics(this.#thread().monitor);
  }

  /**
   * Gives the framework-free handler for routes mounted in an app. Adapters use it; with plain `node:http` use `servePprof()`.
   *
   * @param access Who may read here. Without it the profiler's `access` holds, unless `inheritAccess` is false, and while that is
   * not written out either, routes are closed when `NODE_ENV` is `production`.
   */
  createHandler({ access, inheritAccess = true }: HandlerAccess = {}): PprofHandler {
    const own = access === undefined ? undefined : this.#ownAccess(access);
    return this.#handlerWith((request) => (own ?? this.#mountedAccess(inheritAccess))(request));
  }

  /** A mount whose own `access` is refused answers nobody. */
  #ownAccess(access: Access): AccessCheck {
    try {
      return mountedAccess(resolveConfig({ access }).access, { writtenOut: true });
    } catch (error) {
      this.#logger.error({ err: error }, `loopprof: a mount stays closed: ${messageOf(error)}`);
      return () => {
        throw new LoopprofError(
          'LOOPPROF_FORBIDDEN',
          'closed: `access` of this mount is not valid, see the log of the app.',
        );
      };
    }
  }

  /**
   * Times a request from now to the end of its response; requests that are timed already are left alone. Adapters call it first
   * thing, and `setRequestRoute()` when the route is known.
   *
   * @param routeAtEnd For frameworks that tell the route only at the end: gives it then.
   */
  beginRequest(req: IncomingMessage, res: ServerResponse, routeAtEnd?: RouteAtEnd): void {
    try {
      this.#lease?.thread.monitor.requests.begin(req, res, routeAtEnd);
    } catch (error) {
      this.#logger.debug({ err: error }, 'loopprof: a request could not be timed');
    }
  }

  #resolve(): ResolvedConfig {
    this.#refusedConfig = undefined;
    try {
      return resolveConfig(this.#given);
    } catch (error) {
      throw (this.#refusedConfig = asLoopprofError(error));
    }
  }

  /** Also answers for a refused configuration: its error is for those who may read, by the safest rule. */
  #mountedAccess(inheritAccess: boolean): AccessCheck {
    const config = inheritAccess ? this.#config : undefined;
    const writtenOut = config?.given.has('access') ?? false;
    if (!writtenOut) this.#tellAboutAccess();
    return mountedAccess(config?.access ?? 'loopback', { writtenOut });
  }

  #tellAboutAccess(): void {
    if (this.#toldAboutAccess) return;
    this.#toldAboutAccess = true;
    this.#logger.info(
      {},
      "loopprof: `access` is not written out: the routes mounted in this app answer this machine only, a proxy on it that adds no header included, and nobody when NODE_ENV is production. Set access: 'loopback', { token } or { authorize }.",
    );
  }

  #handlerWith(checkAccess: AccessCheck): PprofHandler {
    return createHandler({
      registry: this.#registry,
      config: () => this.#running(),
      checkAccess,
      logger: this.#logger,
      status: () => this.#status(),
    });
  }

  #startRecorder(config: ResolvedConfig): void {
    const options: ThreadOptions = {
      engine: config.engine,
      cpuSampleIntervalMicros: config.cpuSampleIntervalMicros,
      memorySampleBytes: config.memorySampleBytes,
      windowMs: config.windowMs,
      labels: config.labels,
      maxSeries: config.maxSeries,
      serverTiming: config.serverTiming,
      stallThresholdMs: config.stallThresholdMs,
      blockProfileRate: config.enableBlock ? config.blockProfileRate : 0,
      sidecar: config.sidecar,
    };
    const lease = leaseThread(options);
    const { session, sidecar, sidecarMissing, troubleListeners } = lease.thread;
    this.#lease = lease;
    if (!this.#isSilent) lease.thread.logOwner ??= this;
    if (lease.first) {
      session.onFailure = (error) => this.#logger.error({ err: error }, `loopprof: ${error.message}`);
      troubleListeners.add((message) => this.#logger.warn({}, `loopprof: ${message}`));
      if (sidecarMissing !== undefined)
        this.#logger.warn({}, `loopprof: there is no sidecar: ${sidecarMissing}`);
    } else this.#warnAboutDifferences(options, lease.thread.options);
    this.#watchSlowRequests();
    this.#watchStalls();
    session.enable({ cpu: config.enableCPU, memory: config.enableMemory });
    this.#contextId = sidecar?.attach(this.#sidecarContext(config));
    for (const problem of this.#problems())
      this.#logger.error({ err: problem }, `loopprof: ${problem.message}`);
  }

  #watchSlowRequests(): void {
    const config = this.#config;
    if (!config || !this.#lease || this.#unsubscribe || this.listenerCount('slowRequest') === 0) return;
    this.#unsubscribe = this.#lease.thread.monitor.requests.subscribe(
      (timing) => this.#onSlowRequest(timing),
      config.slowRequestMs,
    );
  }

  #onSlowRequest(timing: RequestTiming): void {
    if (this.listenerCount('slowRequest') === 0) return;
    try {
      this.emit('slowRequest', timing);
    } catch (error) {
      this.#logger.error({ err: error }, `loopprof: a slowRequest listener failed: ${messageOf(error)}`);
    }
  }

  #watchStalls(): void {
    const listeners = this.#lease?.thread.stallListeners;
    if (!listeners || this.#unsubscribeStalls) return;
    if (this.#isSilent && this.listenerCount('stall') === 0) return;
    const listener = (stall: Stall): void => this.#onStall(stall);
    listeners.add(listener);
    this.#unsubscribeStalls = () => void listeners.delete(listener);
  }

  #onStall(stall: Stall): void {
    const { durationMs, cause, method, route, waitingRequests, stacks } = stall;
    const leaf = stacks[0]?.frames.find(({ url }) => url !== '' && !url.startsWith('node:'));
    const where = leaf ? ` in ${leaf.functionName || '(anonymous)'} ${leaf.url}:${leaf.line}` : '';
    // One line, however many profilers share the thread.
    const leftOut = this.#lease?.thread.logOwner === this ? this.#stallLines.spend() : undefined;
    if (leftOut !== undefined) {
      const by = method === '' ? route : `${method} ${route}`;
      const level = durationMs >= (this.#config?.hangThresholdMs ?? Infinity) ? 'warn' : 'info';
      this.#logger[level](
        { durationMs, cause, method, route, waitingRequests, ...(leftOut > 0 ? { leftOut } : {}) },
        `loopprof: the event loop was held for ${Math.round(durationMs)} ms by ${by} (${cause})${where}`,
      );
    }
    if (this.listenerCount('stall') === 0) return;
    try {
      this.emit('stall', stall);
    } catch (error) {
      this.#logger.error({ err: error }, `loopprof: a stall listener failed: ${messageOf(error)}`);
    }
  }

  #warnAboutDifferences(wanted: ThreadOptions, running: Readonly<ThreadOptions>): void {
    for (const field of Object.keys(wanted) as (keyof ThreadOptions)[]) {
      if (wanted[field] === running[field]) continue;
      this.#logger.warn(
        { field, wanted: wanted[field], running: running[field] },
        `loopprof: the recorder of this thread already runs with ${field} ${running[field]}; ${wanted[field]} has no effect`,
      );
    }
  }

  #running(): ResolvedConfig {
    if (this.#config) return this.#config;
    throw this.#refusedConfig ?? notRunning();
  }

  #thread(): Thread {
    if (!this.#lease) throw notRunning();
    return this.#lease.thread;
  }

  /** Its counters wait for the samples of the last seconds to tell which route ran. */
  #settledMonitor(): Thread['monitor'] {
    const { session, monitor } = this.#thread();
    session.harvest();
    return monitor;
  }

  async #capture(profile: Profile, request: CaptureRequest): Promise<Capture> {
    const { sidecar } = this.#thread();
    if (!sidecar?.running || this.#contextId === undefined) return profile.capture(request);
    try {
      return await sidecar.capture(this.#contextId, profile.name, request);
    } catch (error) {
      if (!isLoopprofError(error) || error.code !== 'LOOPPROF_NOT_STARTED') throw error;
      if (!this.#lease) {
        throw new LoopprofError(
          'LOOPPROF_NOT_STARTED',
          'The profiler was stopped while this profile was being taken.',
        );
      }
      // The sidecar has gone meanwhile: what is still here is made here.
      return profile.capture(request);
    }
  }

  #sidecarContext(config: ResolvedConfig): SidecarContext {
    const { access, given, ...rest } = config;
    const isHook = typeof access === 'object' && 'authorize' in access;
    return {
      sent: {
        config: { ...rest, access: isHook ? 'authorize' : access },
        profiles: [...this.#local].map(factsOf),
        documents: this.#local.documents.map(factsOf),
      },
      facts: () => this.#status(),
      document: (name) => {
        const value = this.#local.documents.find((each) => each.name === name)?.read();
        if (!value || value instanceof Promise) throw new Error(`${name} cannot be read at once`);
        return value;
      },
      capture: async (name, request) => {
        const profile = this.#local.lookup(name);
        if (!profile) throw new Error(`no profile is called ${name}`);
        return profile.capture(request);
      },
      authorize: async (request) => isHook && (await access.authorize(request)) === true,
      log: ({ level, details, message }) => this.#logger[level](details, message),
    };
  }

  #status(): ProcessStatus {
    const { session, sidecar, sidecarMissing } = this.#thread();
    return {
      facts: [
        ['pid', String(mainProcess.pid)],
        ['Node', mainProcess.version],
        ['engine', session.engine ?? 'none'],
        ['sidecar', sidecar?.running ? 'running' : (sidecarMissing ?? 'none')],
        ['up', `${Math.floor(mainProcess.uptime())} s`],
      ],
      problems: this.#problems().map(({ message }) => message),
    };
  }

  #problems(): LoopprofError[] {
    const { enableCPU, enableMemory } = this.#running();
    const { session } = this.#thread();
    const found = [
      enableCPU ? failureOf(() => session.recorder()) : undefined,
      enableMemory ? failureOf(() => session.heapRecorder()) : undefined,
      this.#serverProblem,
    ].filter((problem) => problem !== undefined);
    return [...new Set(found)];
  }
}

function notRunning(): LoopprofError {
  return new LoopprofError('LOOPPROF_NOT_STARTED', 'The profiler is not running: call start() first.');
}

function failureOf(get: () => unknown): LoopprofError | undefined {
  try {
    get();
    return undefined;
  } catch (error) {
    return asLoopprofError(error);
  }
}

function asLoopprofError(error: unknown): LoopprofError {
  return isLoopprofError(error)
    ? error
    : new LoopprofError('LOOPPROF_INTERNAL', messageOf(error), { cause: error });
}
