import { LoopprofError } from '../errors.js';
import { mainProcess } from '../realm.js';
import { loadDatadogEngine } from './datadog.js';
import type { EngineName } from './engine-name.js';
import type { Engine } from './engine.js';
import { loadInspectorEngine } from './inspector.js';
import { neighbour } from './neighbours.js';

const ENGINES: Record<Exclude<EngineName, 'auto'>, () => Engine> = {
  datadog: loadDatadogEngine,
  inspector: loadInspectorEngine,
};

export interface SelectedEngine {
  readonly engine: Engine;
  /** Why it is not the first choice; undefined when it is. */
  readonly fallbackBecause: string | undefined;
}

/** Loads the engine of that name; throws LOOPPROF_ENGINE_UNAVAILABLE with every reason when none loads. */
export function selectEngine(name: EngineName): SelectedEngine {
  if (name !== 'auto') return { engine: ENGINES[name](), fallbackBecause: undefined };
  const reason = unsuitableBecause();
  if (reason !== undefined) return { engine: loadInspectorEngine(), fallbackBecause: reason };
  let failure: LoopprofError;
  try {
    return { engine: loadDatadogEngine(), fallbackBecause: undefined };
  } catch (error) {
    failure = error as LoopprofError;
  }
  try {
    return { engine: loadInspectorEngine(), fallbackBecause: failure.message };
  } catch (error) {
    const message = `${failure.message} ${(error as LoopprofError).message}`;
    throw new LoopprofError('LOOPPROF_ENGINE_UNAVAILABLE', message, { cause: failure });
  }
}

/** Why the addon must not be used here though it may load. */
function unsuitableBecause(): string | undefined {
  if (mainProcess.platform === 'win32') return 'on Windows @datadog/pprof gives no timed samples';
  return neighbour();
}
