/** What every adapter does the same way when it mounts the routes in an app. */
import type { ProfilerConfig } from './config.js';
import { LoopprofError } from './errors.js';
import { getProfiler } from './get-profiler.js';
import type { PprofHandler } from './http/message.js';
import type { Logger } from './logger.js';
import type { Profiler } from './profiler.js';

/** Options of every adapter: the profiler's, and where it comes from. */
export interface MountOptions extends Partial<ProfilerConfig> {
  /**
   * The profiler to serve.
   * @default the one that all adapters share, started here
   */
  profiler?: Profiler;
  /** Anything of pino's shape; without one nothing is logged. */
  logger?: Logger;
}

/** What an adapter mounts: the profiler that times requests, and the handler of the routes. */
export interface Mount {
  readonly profiler: Profiler;
  readonly handler: PprofHandler;
}

/**
 * The profiler and handler for these options. `access` holds for this mount alone: what one app opens must not open another that
 * shares the profiler.
 */
export function createMount({ profiler: given, logger, ...config }: MountOptions): Mount {
  const profiler = given ?? getProfiler(config, logger);
  return {
    profiler,
    handler: profiler.createHandler({ access: config.access, inheritAccess: given !== undefined }),
  };
}

/** Refuses a mount path that is not `/like/this`; throws LOOPPROF_INVALID_CONFIG. */
export function checkMountPath(field: string, path: string): string {
  if (typeof path === 'string' && /^(\/[^/?#]+)+$/.test(path)) return path;
  throw new LoopprofError(
    'LOOPPROF_INVALID_CONFIG',
    `\`${field}\` must start with a slash and not end with one, such as '/debug/pprof', got '${String(path)}'.`,
  );
}
