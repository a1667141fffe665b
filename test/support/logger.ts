import type { Logger } from '@loopprof/core';

export interface LogLine {
  level: keyof Logger;
  message: string;
  details: object;
}

/** A logger that keeps what it is told. */
export function keepingLogger(): Logger & { lines: LogLine[]; messages(level: keyof Logger): string[] } {
  const lines: LogLine[] = [];
  const at = (level: keyof Logger) => (details: object, message: string) =>
    void lines.push({ level, message, details });
  return {
    lines,
    messages: (level) => lines.filter((line) => line.level === level).map(({ message }) => message),
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
  };
}
