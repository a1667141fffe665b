/** The engine and the two recorders of one thread, started and stopped together. */
import type { EngineName } from '../engine/engine-name.js';
import type { Engine, LabelSet, LabelTrack } from '../engine/engine.js';
import { selectEngine } from '../engine/select.js';
import { isLoopprofError, LoopprofError, messageOf } from '../errors.js';
import { mainProcess } from '../realm.js';
import { summarize, type HarvestSummary } from './harvest-summary.js';
import { CallSites } from './call-sites.js';
import { HeapRecorder } from './heap-recorder.js';
import { LabelSets } from './label-sets.js';
import { Operations } from './operations.js';
import { Recorder } from './recorder.js';
import { Threads } from './threads.js';
import { Waits } from './waits.js';

/** What the first profiler of a thread decides for all. */
export interface SessionOptions {
  engine: EngineName;
  cpuSampleIntervalMicros: number;
  memorySampleBytes: number;
  allocTotals: boolean;
  allocWindows: boolean;
  windowMs: number;
  labels: boolean | 'auto';
  mutexProfileFraction: number;
  asyncSampleRate: number;
}

/** What a profiler wants to run. */
export interface Wanted {
  cpu: boolean;
  memory: boolean;
  mutex: boolean;
  goroutine: boolean;
}

export class RecorderSession {
  readonly options: Readonly<SessionOptions>;
  /** Told about failures that nobody waits for. */
  onFailure: (error: LoopprofError) => void = () => {};
  /** Told of every harvest. */
  onHarvest: (summary: HarvestSummary) => void = () => {};
  /** Told when a callback of the session's own begins to work, and when it has. */
  onTurn: () => void = () => {};
  /** Told when the engine gives way to another profiler. */
  onFallback: (reason: string) => void = () => {};
  /** Runs what nobody may interrupt to read what it changes. */
  undisturbed = <T>(work: () => T): T => work();
  readonly waits: Waits;
  readonly operations: Operations;
  readonly threads: Threads;
  #engine: Engine | LoopprofError;
  #fallbackBecause: string | undefined;
  #recorder: Recorder | LoopprofError;
  #heapRecorder: HeapRecorder | LoopprofError;
  readonly #labelSets = new LabelSets();
  readonly #onExit = (): void => this.stop();

  constructor(options: SessionOptions) {
    this.options = options;
    this.#engine = attempt(() => this.#select());
    const callSites = new CallSites();
    const labels = (): LabelTrack | undefined => this.labels;
    this.waits = new Waits({ fraction: options.mutexProfileFraction, callSites, labels });
    this.operations = new Operations({
      sampleRate: options.asyncSampleRate,
      callSites,
      waits: this.waits,
      labels,
    });
    this.threads = new Threads(callSites);
    // Costs nothing, and the sidecar is one of them.
    this.threads.start();
    const reason = isLoopprofError(this.#engine) ? this.#engine : notStarted('The profiler is not running.');
    this.#recorder = this.#heapRecorder = reason;
    // A sampling signal that arrives while Node tears the isolate down can crash it.
    mainProcess.once('exit', this.#onExit);
  }

  /** Name and version of the engine, or undefined when none has loaded. */
  get engine(): string | undefined {
    return isLoopprofError(this.#engine) ? undefined : this.#engine.version;
  }

  /** Why the engine is not the first choice; undefined when it is. */
  get fallbackBecause(): string | undefined {
    return this.#fallbackBecause;
  }

  #select(): Engine {
    const { engine, fallbackBecause } = selectEngine(this.options.engine);
    this.#fallbackBecause = fallbackBecause;
    return engine;
  }

  /** Runs inside somebody else's start of a profiler, so it may not throw. Those who come first have no claim to be alone. */
  #giveWay(): void {
    const engine = attempt(() => selectEngine('inspector').engine);
    if (isLoopprofError(engine)) {
      this.onFailure(engine);
      return;
    }
    this.#engine = engine;
    this.#fallbackBecause = 'another user of @datadog/pprof has started to profile';
    const recorder = this.#recorder;
    const heapRecorder = this.#heapRecorder;
    if (!isLoopprofError(recorder)) recorder.useSampler(engine.cpu);
    if (!isLoopprofError(heapRecorder)) {
      const failure = attempt(() => heapRecorder.useSampler(engine.heap));
      if (isLoopprofError(failure)) this.onFailure(failure);
    }
    this.onFallback(this.#fallbackBecause);
  }

  /** Starts what is wanted and does not run yet. Never throws: what cannot start gives its reason when it is asked for. */
  enable({ cpu, memory, mutex, goroutine }: Wanted): void {
    if (mutex) this.waits.start();
    if (mutex || goroutine) this.operations.start();
    const engine = this.#engine;
    if (isLoopprofError(engine)) return;
    if (cpu && isLoopprofError(this.#recorder)) {
      this.#recorder = attempt(() => {
        const recorder = new Recorder(engine.cpu, {
          cpuSampleIntervalMicros: this.options.cpuSampleIntervalMicros,
          windowMs: this.options.windowMs,
          labels: this.options.labels,
          onHarvest: (chunk) => this.onHarvest(summarize(chunk, this.options.cpuSampleIntervalMicros)),
          onTurn: () => this.onTurn(),
          onRival: () => this.#giveWay(),
          onFailure: (error) => this.#onCpuFailure(error),
        });
        recorder.start();
        return recorder;
      });
    }
    if (memory && isLoopprofError(this.#heapRecorder)) {
      this.#heapRecorder = attempt(() => {
        const heapRecorder = new HeapRecorder(engine.heap, {
          intervalBytes: this.options.memorySampleBytes,
          totals: this.options.allocTotals,
          windows: this.options.allocWindows,
          undisturbed: (work) => this.undisturbed(work),
        });
        heapRecorder.start();
        return heapRecorder;
      });
    }
  }

  /** The CPU samples; throws the reason when there are none. */
  recorder(): Recorder {
    if (isLoopprofError(this.#recorder)) throw this.#recorder;
    return this.#recorder;
  }

  /** Takes in what was sampled up to now, if anything is sampled. */
  harvest(): void {
    if (!isLoopprofError(this.#recorder)) this.#recorder.harvest();
  }

  /** The same within that time, for somebody who can wait. */
  harvestWithin(durationMs: number): void {
    if (!isLoopprofError(this.#recorder)) this.#recorder.harvestWithin(durationMs);
  }

  /** Whether every look carries the labels of the code it found. */
  get alwaysLabelled(): boolean {
    return this.#isAlways(this.labels);
  }

  /** Labels the rest of the current turn and all that follows from it; gives `alwaysLabelled`. */
  enter(set: LabelSet, isBeginning: boolean): boolean {
    const { labels } = this;
    labels?.enter(set, isBeginning);
    return this.#isAlways(labels);
  }

  #isAlways(labels: LabelTrack | undefined): boolean {
    return labels !== undefined && (labels.always || this.options.labels === true);
  }

  /** How code gets labels onto its samples; undefined where samples carry none. */
  get labels(): LabelTrack | undefined {
    // Asked several times for each request, for which isLoopprofError() is too slow.
    return this.#recorder instanceof Recorder ? this.#recorder.labels : undefined;
  }

  /** Runs `callback` under the labels in force and these on top. */
  withLabels<T>(added: Readonly<Record<string, unknown>>, callback: () => T): T {
    const { labels: track } = this;
    const labels = track && this.#labelSets.merge(track.current(), added);
    return track && labels ? track.run(labels, callback) : callback();
  }

  /** The heap samples; throws the reason when there are none. */
  heapRecorder(): HeapRecorder {
    if (isLoopprofError(this.#heapRecorder)) throw this.#heapRecorder;
    return this.#heapRecorder;
  }

  /** Sends no signals to the thread until `resume()`. */
  pause(): void {
    if (!isLoopprofError(this.#recorder)) this.#recorder.pause();
  }

  resume(): void {
    if (!isLoopprofError(this.#recorder)) this.#recorder.resume();
  }

  stop(): void {
    mainProcess.removeListener('exit', this.#onExit);
    this.operations.stop();
    this.threads.stop();
    this.waits.stop();
    for (const part of [this.#recorder, this.#heapRecorder]) {
      if (isLoopprofError(part)) continue;
      const failure = attempt(() => part.stop());
      if (isLoopprofError(failure)) this.onFailure(failure);
    }
    this.#recorder = this.#heapRecorder = notStarted('The profiler has been stopped.');
  }

  #onCpuFailure(error: LoopprofError): void {
    this.#recorder = error;
    this.onFailure(error);
  }
}

function notStarted(message: string): LoopprofError {
  return new LoopprofError('LOOPPROF_NOT_STARTED', message);
}

/** The result of `run`, or what it threw as a LoopprofError. */
function attempt<T>(run: () => T): T | LoopprofError {
  try {
    return run();
  } catch (error) {
    if (isLoopprofError(error)) return error;
    return new LoopprofError(
      'LOOPPROF_ENGINE_UNAVAILABLE',
      `V8's profiler could not be used: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}
