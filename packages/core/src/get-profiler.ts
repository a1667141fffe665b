import { isDeepStrictEqual } from 'node:util';
import { type ProfilerConfig } from './config.js';
import { messageOf } from './errors.js';
import { guardedLogger, warningLogger, type Logger } from './logger.js';
import { Profiler } from './profiler.js';

let shared: { readonly profiler: Profiler; readonly config: Partial<ProfilerConfig> } | undefined;

/**
 * getProfiler gives the running profiler that the adapters share, and starts it at the first call. It never throws: a
 * configuration that is refused is logged, and the routes say why.
 *
 * The first call's configuration holds; a later one that differs is warned about. Where there is no logger, what does not work or
 * has no effect is a warning of the process (`LoopprofWarning`), once. The standalone server is started only when
 * `httpAddr` is given, and its `stop()` writes files only when `profileDir` is.
 *
 * @example
 * ```ts
 * import { getProfiler } from '@loopprof/core';
 *
 * const profiler = getProfiler({ httpAddr: 'localhost:6060' });
 * ```
 */
export function getProfiler(config: Partial<ProfilerConfig> = {}, given?: Logger): Profiler {
  const logger = given && guardedLogger(given);
  if (shared?.profiler.running) {
    warnAboutDifferences(config, shared.config, (...what) =>
      logger ? logger.warn(...what) : warningLogger.error(...what),
    );
    return shared.profiler;
  }
  const profiler = new Profiler(
    {
      ...config,
      enableHTTP: config.enableHTTP ?? config.httpAddr !== undefined,
      writeOnStop: config.writeOnStop ?? config.profileDir !== undefined,
    },
    logger ?? warningLogger,
  );
  shared = { profiler, config };
  profiler.start().catch((error: unknown) => {
    (logger ?? warningLogger).error({ err: error }, `loopprof: ${messageOf(error)}`);
  });
  return profiler;
}

function warnAboutDifferences(
  wanted: Partial<ProfilerConfig>,
  running: Partial<ProfilerConfig>,
  tell: Logger['warn'],
): void {
  for (const field of Object.keys(wanted) as (keyof ProfilerConfig)[]) {
    // Every mount has its own `access`.
    if (field === 'access' || wanted[field] === undefined) continue;
    if (isDeepStrictEqual(wanted[field], running[field])) continue;
    tell(
      { field },
      `loopprof: the shared profiler already runs; \`${field}\` given by a later caller has no effect`,
    );
  }
}
