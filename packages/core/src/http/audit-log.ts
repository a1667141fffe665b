import { isLoopprofError, type LoopprofError } from '../errors.js';
import type { Logger } from '../logger.js';
import type { PprofRequest } from './message.js';

/** Who is refused is logged at most once in this time, or anybody could fill the app's log. */
const REFUSALS_EVERY_MS = 60_000;

/** Tells the app's log who captured what, at `info`, or at `debug` what is polled; and that somebody was refused. */
export class AuditLog {
  readonly #logger: Logger;
  #nextRefusalMs = 0;
  #unsaidRefusals = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  captured(request: PprofRequest, { profile, level, sizeBytes, startedMs }: CapturedProfile): void {
    this.#logger[level](
      { profile, ...whoAsks(request), sizeBytes, durationMs: Math.round(performance.now() - startedMs) },
      'loopprof: profile captured',
    );
  }

  notCaptured(request: PprofRequest, { profile, level, startedMs }: StartedProfile, reason: unknown): void {
    this.#logger[level](
      {
        profile,
        ...whoAsks(request),
        reason: isLoopprofError(reason) ? reason.code : 'LOOPPROF_INTERNAL',
        durationMs: Math.round(performance.now() - startedMs),
      },
      'loopprof: profile not captured',
    );
  }

  refused(request: PprofRequest, error: LoopprofError): void {
    const now = performance.now();
    if (now < this.#nextRefusalMs) {
      this.#unsaidRefusals += 1;
      return;
    }
    this.#logger.warn(
      {
        ...whoAsks(request),
        code: error.code,
        ...(error.cause === undefined ? {} : { err: error.cause }),
        refusedUnlogged: this.#unsaidRefusals,
      },
      `loopprof: a request was refused (${error.message})`,
    );
    this.#nextRefusalMs = now + REFUSALS_EVERY_MS;
    this.#unsaidRefusals = 0;
  }
}

interface StartedProfile {
  readonly profile: string;
  readonly level: 'info' | 'debug';
  readonly startedMs: number;
}

interface CapturedProfile extends StartedProfile {
  readonly sizeBytes: number;
}

const MAX_AGENT_LENGTH = 100;

function whoAsks({ remoteAddress, headers }: PprofRequest): { remoteAddress: string; userAgent?: string } {
  const agent = headers['user-agent'];
  return {
    remoteAddress: remoteAddress ?? 'unix socket',
    ...(typeof agent === 'string' ? { userAgent: agent.slice(0, MAX_AGENT_LENGTH) } : {}),
  };
}
