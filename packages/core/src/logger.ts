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
