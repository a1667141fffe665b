import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { resolve } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { AddressWait } from './address-wait.js';
import { Announcer } from './announcer.js';
import { resolveConfig, type Access, type ProfilerConfig, type ResolvedConfig } from './config.js';
import { asLoopprofError, isLoopprofError, LoopprofError, messageOf } from './errors.js';
import { boundedHook, mountedAccess, serverAccess, type AccessCheck } from './http/access.js';
import { createHandler, type ProcessStatus } from './http/handler.js';
import type { PprofHandler } from './http/message.js';
import { startStandaloneServer, type StandaloneServer } from './http/node-server.js';
import { withoutPaths } from './http/without-paths.js';
import { guardedLogger, silentLogger, warningLogger, type Logger } from './logger.js';
import { MAPPING_FILE } from './mapping-file.js';
import type { RouteAtEnd } from './monitor/request-timing.js';
import { runtimeMetrics, type RuntimeMetrics } from './monitor/runtime.js';
import type { ProfilerEvents } from './profiler-events.js';
import type { Capture, CaptureRequest, Profile } from './profiles/profile.js';
import { createRegistry, factsOf, ProfileRegistry } from './profiles/registry.js';
import { mainProcess } from './realm.js';
import { RunSnapshots } from './run-snapshots.js';
import { RunningCaptures, stoppedMeanwhile } from './running-captures.js';
import { leaseThread, type ThreadLease } from './shared.js';
import type { SidecarContext } from './sidecar/sidecar.js';
import { keepAlive } from './snapshots/abort.js';
import { obstacleTo } from './snapshots/directory.js';
import type { ProcessFacts } from './snapshots/manifest.js';
import type { Snapshotter } from './snapshots/snapshotter.js';
import { Symbolizer } from './symbols/symbolizer.js';
import { trimFolder, type Thread, type ThreadOptions } from './thread.js';
import { packageVersion } from './version.js';

/** Who may read at one mount. */
export interface HandlerAccess {
  access?: Access | undefined;
  /** @default true */
  inheritAccess?: boolean;
}

/**
 * Profiler records what the process does from `start()` on and serves it as Go's `net/http/pprof` does.
 *
 * Any number of profilers share one recorder per thread; the options of the sampler come from the first that starts. A profiler can
 * be started again after `stop()`.
 *
 * @example
 * ```ts
 * import { Profiler } from '@loopprof/core';
 *
 * const profiler = new Profiler({ httpAddr: 'localhost:6060' });
 * await profiler.start();
 * console.log(profiler.address); // http://127.0.0.1:6060/debug/pprof/
 * // … go tool pprof http://localhost:6060/debug/pprof/profile
 * const { memory } = await profiler.captureSnapshot();
 * console.log(memory, profiler.reportMetrics().eventLoopUtilization);
 * await profiler.stop(); // go tool pprof -top profiles/cpu.prof
 * ```
 */
export class Profiler extends EventEmitter<ProfilerEvents> {
  readonly #given: Partial<ProfilerConfig>;
  readonly #logger: Logger;
  readonly #announcer: Announcer;
  /** What is made on this thread. */
  readonly #local = createRegistry({
    recorder: () => this.#thread().session.recorder(),
    heapRecorder: () => this.#thread().session.heapRecorder(),
    stalls: () => this.#thread().readStalls(),
    blockReading: () => this.#thread().readBlocks(),
    // Whoever asks here has found the event loop turning.
    stack: () => undefined,
    blocked: () => null,
    labels: () => this.#thread().session.labels,
    monitor: () => this.#thread().monitor,
    settledMonitor: () => this.#settledMonitor(),
    operations: () => this.#thread().session.operations,
    waits: () => this.#thread().session.waits,
    threads: () => this.#thread().session.threads,
    leakAgeMs: () => this.#running().leakAgeMs,
    overhead: () => this.#thread().overhead(),
    symbolizer: new Symbolizer({
      trimTo: () => (this.#lease ? trimFolder(this.#lease.thread.options) : undefined),
    }),
    get mappingFile(): string {
      return this.symbolizer.trimmed(MAPPING_FILE);
    },
  });
  /** The same, in the sidecar where that can be. */
  readonly #registry = new ProfileRegistry(
    [...this.#local].map((profile) => ({
      ...profile,
      capture: (request) =>
        this.#captures.run(request.signal, (signal) => this.#capture(profile, { ...request, signal })),
    })),
    this.#local.documents,
    this.#local.facts,
  );
  readonly #captures = new RunningCaptures();
  #config: ResolvedConfig | undefined;
  #inheritedAccess: { readonly config: ResolvedConfig | undefined; readonly check: AccessCheck } | undefined;
  #lease: ThreadLease | undefined;
  #contextId: number | undefined;
  #address: string | undefined;
  #server: StandaloneServer | undefined;
  #serverProblem: LoopprofError | undefined;
  readonly #addressWait = new AddressWait();
  #snapshots: RunSnapshots | undefined;
  #stopping: Promise<void> | undefined;
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
    this.#announcer = new Announcer(this, {
      logger: this.#logger,
      isSilent: logger === silentLogger || logger === warningLogger,
    });
  }

  /**
   * URL of the standalone server's index page, such as `http://127.0.0.1:6060/debug/pprof/`, or `unix:` and the path of its socket;
   * undefined while it does not listen.
   */
  get address(): string | undefined {
    return this.#address;
  }

  /** Whether `start()` has been called and `stop()` has not. */
  get running(): boolean {
    return this.#config !== undefined && this.#stopping === undefined;
  }

  /**
   * Starts the recorder, unless another profiler of this thread has, and the standalone server.
   *
   * Rejects with LOOPPROF_INVALID_CONFIG, also for a `profileDir` that cannot be written to, and with LOOPPROF_ALREADY_STARTED for a
   * second start. An engine that does not load or
   * an address that is taken does not reject: the app lives on, an error is logged, and the index page says what is missing.
   */
  async start(): Promise<void> {
    if (this.#stopping) await this.#stopping;
    if (this.#config) {
      throw new LoopprofError(
        'LOOPPROF_ALREADY_STARTED',
        'This profiler is already started: stop() it first, or use the running one.',
      );
    }
    const config = this.#resolve();
    this.#config = config;
    const thread = this.#startRecorder(config);
    this.#startSnapshots(thread, config);
    if (!config.enableHTTP) return;
    try {
      await this.#listen(config);
    } catch (error) {
      if (this.#config !== config) return;
      this.#waitForAddress(error, config);
      this.#logger.error({ err: error }, `loopprof: ${messageOf(error)}`);
    }
  }

  /**
   * Writes `cpu.prof`, `mem.prof` and what else is recorded into `profileDir` (unless `writeOnStop` is false), then closes the
   * standalone server and gives up this profiler's share in the recorder; the last one stops it. `cpu.prof` covers the last
   * `profileDurationMs`, at most `windowMs`, or the time since `start()` if that is less.
   *
   * Never rejects: what cannot be written is logged, and after 5 s nothing more is tried. May be called again without effect.
   */
  async stop(): Promise<void> {
    if (!this.#config) return;
    this.#stopping ??= keepAlive(this.#stop()).finally(() => (this.#stopping = undefined));
    await this.#stopping;
  }

  /** `await using profiler = new Profiler()` stops it at the end of the block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #stop(): Promise<void> {
    this.#snapshots?.unwatch();
    if (this.#config?.writeOnStop) await this.#snapshots?.snapshotter.writeFinal();
    this.#snapshots?.snapshotter.close();
    this.#captures.end();
    this.#addressWait.end();
    const server = this.#server;
    const lease = this.#lease;
    const contextId = this.#contextId;
    this.#announcer.stop();
    this.#config = this.#server = this.#lease = this.#serverProblem = undefined;
    this.#contextId = this.#address = this.#snapshots = undefined;
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
      await sidecar.listen(this.#contextId, config.httpAddr);
      return;
    }
    const server = await startStandaloneServer(
      this.#handlerWith(serverAccess(config.access, config.httpAddr)),
      config.httpAddr,
    );
    if (this.#config === config) {
      this.#server = server;
      this.#address = server.address;
    } else await server.close();
  }

  #waitForAddress(error: unknown, config: ResolvedConfig): void {
    this.#address = undefined;
    this.#serverProblem = asLoopprofError(error);
    if (!isMainThread) return;
    this.#addressWait.begin(async () => {
      // The sidecar may have come to it by itself.
      if (this.#config !== config || this.#address !== undefined) return;
      await this.#listen(config);
      if (this.#config !== config) return;
      this.#serverProblem = undefined;
      const { address } = this;
      this.#logger.info({ address }, `loopprof: the standalone server listens after all: ${address}`);
    });
  }

  /**
   * Writes a snapshot of now into `profileDir`: every profile that is on, and the counters beside them. `cpu` covers the last
   * `profileDurationMs`, at most `windowMs`, or the time since `start()` if that is less.
   *
   * @returns Name to absolute path: `cpu`, `memory`, `gc_stats`, `requests`, `runtime` and what else there is; a `manifest.json` lies
   * beside them. What cannot be had, such as profiles while no engine has loaded, is left out; the manifest says why.
   * @throws LOOPPROF_NOT_STARTED, LOOPPROF_WRITE_FAILED, and LOOPPROF_ABORTED when `signal` aborts.
   *
   * @example
   * ```ts
   * const { cpu, memory } = await profiler.captureSnapshot({ signal: AbortSignal.timeout(5000) });
   * // go tool pprof -top /app/profiles/20261123T175501.123Z-manual-4711/cpu.prof
   * ```
   */
  async captureSnapshot({ signal }: { signal?: AbortSignal | undefined } = {}): Promise<
    Record<string, string>
  > {
    const { files } = await keepAlive(this.#runSnapshots().take({ reason: 'manual', signal }));
    return { ...files };
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

  /**
   * Takes the snapshots of this run; throws LOOPPROF_NOT_STARTED.
   * @internal
   */
  get snapshotter(): Snapshotter {
    return this.#runSnapshots().snapshotter;
  }

  #resolve(): ResolvedConfig {
    this.#refusedConfig = undefined;
    try {
      const config = resolveConfig(this.#given);
      // The default is nobody's wish: a process that cannot write there runs all the same.
      if (config.given.has('profileDir')) refuseUnwritable(config.profileDir);
      return config;
    } catch (error) {
      throw (this.#refusedConfig = asLoopprofError(error));
    }
  }

  /** Also answers for a refused configuration: its error is for those who may read, by the safest rule. */
  #mountedAccess(inheritAccess: boolean): AccessCheck {
    const config = inheritAccess ? this.#config : undefined;
    const writtenOut = config?.given.has('access') ?? false;
    if (!writtenOut) this.#tellAboutAccess();
    if (this.#inheritedAccess?.config !== config || !this.#inheritedAccess) {
      const check = mountedAccess(config?.access ?? 'loopback', { writtenOut });
      this.#inheritedAccess = { config, check };
    }
    return this.#inheritedAccess.check;
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
      budget: () => this.#thread().budget,
      status: () => this.#status(),
      takeSnapshot: async () => this.#runSnapshots().takeRequested(),
    });
  }

  #startSnapshots(thread: Thread, config: ResolvedConfig): void {
    this.#snapshots = new RunSnapshots({
      registry: this.#registry,
      config,
      directory: resolve(config.profileDir),
      thread,
      contextId: this.#contextId,
      facts: () => this.#processFacts(),
      logger: this.#logger,
      announcer: this.#announcer,
    });
    this.#snapshots.watch();
  }

  #processFacts(): ProcessFacts {
    const { pid } = mainProcess;
    return {
      pid,
      uptimeMs: mainProcess.uptime() * 1000,
      engine: this.#thread().session.engine,
      loopprof: packageVersion(),
    };
  }

  #startRecorder(config: ResolvedConfig): Thread {
    const options: ThreadOptions = {
      engine: config.engine,
      cpuSampleIntervalMicros: config.cpuSampleIntervalMicros,
      memorySampleBytes: config.memorySampleBytes,
      allocTotals: config.allocTotals,
      allocWindows: config.allocWindows,
      windowMs: config.windowMs,
      labels: config.labels,
      mutexProfileFraction: config.mutexProfileFraction,
      asyncSampleRate: config.asyncSampleRate,
      maxSeries: config.maxSeries,
      serverTiming: config.serverTiming,
      stallThresholdMs: config.stallThresholdMs,
      blockProfileRate: config.enableBlock ? config.blockProfileRate : 0,
      sidecar: config.sidecar,
      trimPaths: config.trimPaths,
    };
    const lease = leaseThread(options);
    const { session, sidecar, sidecarMissing } = lease.thread;
    this.#lease = lease;
    this.#announcer.start(lease.thread, config);
    if (lease.first) {
      session.onFallback = (reason) => this.#tellAboutFallback(session.engine, reason);
      if (session.fallbackBecause !== undefined)
        this.#tellAboutFallback(session.engine, session.fallbackBecause);
      if (sidecarMissing !== undefined)
        this.#logger.warn({}, `loopprof: there is no sidecar: ${sidecarMissing}`);
      if (sidecar?.doorClosedBecause !== undefined)
        this.#logger.warn({}, `loopprof: ${shutOut(sidecar.doorClosedBecause)}`);
    } else this.#warnAboutDifferences(options, lease.thread.options);
    session.enable({
      cpu: config.enableCPU,
      memory: config.enableMemory,
      mutex: config.enableMutex,
      goroutine: config.enableGoroutine,
    });
    this.#contextId = sidecar?.attach(this.#sidecarContext(config));
    for (const problem of this.#problems())
      this.#logger.error({ err: problem }, `loopprof: ${problem.message}`);
    return lease.thread;
  }

  #tellAboutFallback(engine: string | undefined, reason: string): void {
    this.#logger.warn({ engine, reason }, `loopprof: samples by the ${engine}, because: ${reason}`);
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
    if (this.#lease) return this.#lease.thread;
    throw this.#refusedConfig ?? notRunning();
  }

  #runSnapshots(): RunSnapshots {
    if (this.#snapshots) return this.#snapshots;
    throw notRunning();
  }

  /** Its counters wait for the samples of the last seconds to tell which route ran. */
  #settledMonitor(): Thread['monitor'] {
    const { session, monitor } = this.#thread();
    session.harvest();
    return monitor;
  }

  async #capture(profile: Profile, request: CaptureRequest): Promise<Capture> {
    const { sidecar } = this.#thread();
    profile.ready?.();
    if (!profile.offThread || !sidecar?.running || this.#contextId === undefined)
      return profile.capture(request);
    try {
      return await sidecar.capture(this.#contextId, profile.name, request);
    } catch (error) {
      if (!isLoopprofError(error) || error.code !== 'LOOPPROF_NOT_STARTED') throw error;
      if (!this.#lease) throw stoppedMeanwhile();
      // The sidecar has gone meanwhile: what is still here is made here.
      return profile.capture(request);
    }
  }

  #sidecarContext(config: ResolvedConfig): SidecarContext {
    const { access, given, ...rest } = config;
    const isHook = typeof access === 'object' && 'authorize' in access;
    const hook = isHook ? boundedHook((request) => access.authorize(request)) : undefined;
    return {
      sent: {
        // Where it leads to must not depend on where the process goes.
        config: { ...rest, access: isHook ? 'authorize' : access, profileDir: resolve(config.profileDir) },
        profiles: [...this.#local].map(factsOf),
        documents: this.#local.documents.map(factsOf),
        texts: this.#local.facts.map((text) => ({ ...factsOf(text), text: text.read('') })),
        process: this.#processFacts(),
        startedMicros: Date.now() * 1000,
      },
      onListening: (address) => {
        if (this.#config !== config) return;
        this.#address = address;
        this.#serverProblem = undefined;
      },
      onServerLost: (error) => {
        if (this.#config === config) this.#waitForAddress(error, config);
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
      takeSnapshot: async () => this.#runSnapshots().takeRequested(),
      authorize: async (request) => hook !== undefined && (await hook(request)),
      vitals: () => {
        const vitals = this.#snapshots?.vitals();
        if (!vitals) throw notRunning();
        return vitals;
      },
      onLook: (look) => this.#snapshots?.follow(look),
      onSnapshot: (sent) => this.#snapshots?.onTaken(sent),
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
        ...(session.fallbackBecause === undefined
          ? []
          : [['instead of @datadog/pprof because', withoutPaths(session.fallbackBecause)] as const]),
        ['sidecar', sidecar?.running ? 'running' : withoutPaths(sidecarMissing ?? 'none')],
        ...(sidecar?.doorClosedBecause === undefined
          ? []
          : [['blocked loop', shutOut(sidecar.doorClosedBecause)] as const]),
        ['up', `${Math.floor(mainProcess.uptime())} s`],
      ],
      problems: this.#problems().map(({ message }) => withoutPaths(message)),
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

function shutOut(reason: string): string {
  return `no profile is made while the event loop is blocked: ${reason}`;
}

function refuseUnwritable(profileDir: string): void {
  const obstacle = obstacleTo(resolve(profileDir));
  if (obstacle === undefined) return;
  throw new LoopprofError(
    'LOOPPROF_INVALID_CONFIG',
    `\`profileDir\` must be a directory that this process can write to or create, got '${profileDir}': ${obstacle}.`,
  );
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
