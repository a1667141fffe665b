/** Logger has pino's shape; `pino()`, `fastify.log` and `console` all fit. */
export interface Logger {
  debug(details: object, message: string): void;
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

const ignore = (): void => {};

/** silentLogger is what loopprof uses when it is given no logger. */
export const silentLogger: Logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** Messages may have text of requests in them. */
const MAX_TOLD = 100;

const told = new Set<string>();

/**
 * warningLogger is what the profiler that adapters share uses when it is given no logger: whoever wrote one line into an app is to hear
 * of what does not work, once, as a warning of the process.
 */
export const warningLogger: Logger = {
  ...silentLogger,
  error: (_details, message) => {
    if (told.has(message) || told.size >= MAX_TOLD) return;
    told.add(message);
    process.emitWarning(message.replace(/^loopprof: /, ''), 'LoopprofWarning');
  },
};

/** A logger that stands between us and the user's: whatever that does, or lacks, is not worth a request of the host's. */
export function guardedLogger(logger: Logger): Logger {
  const at = (level: keyof Logger) => (details: object, message: string) => {
    try {
      logger[level](details, message);
    } catch {
      // There is nobody left to tell.
    }
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
