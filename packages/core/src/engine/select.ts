import { LoopprofError } from '../errors.js';
import { loadDatadogEngine } from './datadog.js';
import type { Engine } from './engine.js';

/** The engines by name, in the order in which `auto` tries them. */
const ENGINES = { datadog: loadDatadogEngine } satisfies Record<string, () => Engine>;

/** What `engine` may be set to; `auto` takes the first that loads. */
export type EngineName = 'auto' | keyof typeof ENGINES;

/** Loads the engine of that name; throws LOOPPROF_ENGINE_UNAVAILABLE with every reason when none loads. */
export function selectEngine(name: EngineName): Engine {
  const candidates = name === 'auto' ? Object.values(ENGINES) : [ENGINES[name]];
  const failures: Error[] = [];
  for (const load of candidates) {
    try {
      return load();
    } catch (error) {
      failures.push(error as Error);
    }
  }
  throw new LoopprofError(
    'LOOPPROF_ENGINE_UNAVAILABLE',
    failures.map((failure) => failure.message).join(' '),
    {
      cause: failures[0],
    },
  );
}
