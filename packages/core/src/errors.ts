/** Codes of {@link LoopprofError}; stable across versions. */
export type LoopprofErrorCode =
  | 'LOOPPROF_ALREADY_STARTED'
  | 'LOOPPROF_NOT_STARTED'
  | 'LOOPPROF_INVALID_CONFIG'
  | 'LOOPPROF_ADDRESS_UNAVAILABLE'
  | 'LOOPPROF_ENGINE_UNAVAILABLE'
  | 'LOOPPROF_INVALID_PARAMETER'
  | 'LOOPPROF_UNKNOWN_PROFILE'
  | 'LOOPPROF_PROFILE_DISABLED'
  | 'LOOPPROF_METHOD_NOT_ALLOWED'
  | 'LOOPPROF_FORBIDDEN'
  | 'LOOPPROF_UNAUTHORIZED'
  | 'LOOPPROF_TOO_MANY'
  | 'LOOPPROF_ABORTED'
  | 'LOOPPROF_LOOP_BLOCKED'
  | 'LOOPPROF_WRITE_FAILED'
  | 'LOOPPROF_NOT_SUPPORTED'
  | 'LOOPPROF_INTERNAL';

const STATUS: Record<LoopprofErrorCode, number> = {
  LOOPPROF_ALREADY_STARTED: 409,
  LOOPPROF_NOT_STARTED: 503,
  LOOPPROF_INVALID_CONFIG: 500,
  LOOPPROF_ADDRESS_UNAVAILABLE: 503,
  LOOPPROF_ENGINE_UNAVAILABLE: 503,
  LOOPPROF_INVALID_PARAMETER: 400,
  LOOPPROF_UNKNOWN_PROFILE: 404,
  LOOPPROF_PROFILE_DISABLED: 404,
  LOOPPROF_METHOD_NOT_ALLOWED: 405,
  LOOPPROF_FORBIDDEN: 403,
  LOOPPROF_UNAUTHORIZED: 401,
  LOOPPROF_TOO_MANY: 429,
  LOOPPROF_ABORTED: 499,
  LOOPPROF_LOOP_BLOCKED: 503,
  LOOPPROF_WRITE_FAILED: 503,
  LOOPPROF_NOT_SUPPORTED: 501,
  LOOPPROF_INTERNAL: 500,
};

/** What a LoopprofError carries beside its message. */
export interface LoopprofErrorOptions extends ErrorOptions {
  retryAfterSeconds?: number;
}

/**
 * LoopprofError is the one error class of loopprof: a stable `code`, the HTTP `status` it is answered with, and a message
 * that says what was wrong, the rule, and what to do.
 *
 * @example
 * ```ts
 * try {
 *   await profiler.start();
 * } catch (error) {
 *   if (isLoopprofError(error) && error.code === 'LOOPPROF_INVALID_CONFIG') console.error(error.message);
 * }
 * ```
 */
export class LoopprofError extends Error {
  /** Stable identifier to branch on; the message may change, the code does not. */
  readonly code: LoopprofErrorCode;
  /** The HTTP status a request that ran into this error is answered with. */
  readonly status: number;
  /** For LOOPPROF_TOO_MANY: when it is worth trying again. */
  readonly retryAfterSeconds: number | undefined;

  constructor(code: LoopprofErrorCode, message: string, options?: LoopprofErrorOptions) {
    super(message, options);
    this.name = 'LoopprofError';
    this.code = code;
    this.status = STATUS[code];
    this.retryAfterSeconds = options?.retryAfterSeconds;
  }
}

/**
 * isLoopprofError tells a LoopprofError of any installed copy of loopprof, and of any realm (Jest gives every test file its
 * own), which `instanceof` cannot.
 */
export function isLoopprofError(value: unknown): value is LoopprofError {
  try {
    return (
      typeof value === 'object' &&
      value !== null &&
      (value as { name?: unknown }).name === 'LoopprofError' &&
      typeof (value as { code?: unknown }).code === 'string'
    );
  } catch {
    // What cannot even be looked at is not ours.
    return false;
  }
}

/** The message of anything that can be thrown. Never throws, whatever that is. */
export function messageOf(thrown: unknown): string {
  try {
    if (typeof thrown === 'object' && thrown !== null && 'message' in thrown) return String(thrown.message);
    return String(thrown);
  } catch {
    // An object without a prototype has no text, a revoked proxy not even properties.
    return 'what was thrown has no message';
  }
}

/** What was thrown, as an error of ours. */
export function asLoopprofError(thrown: unknown): LoopprofError {
  return isLoopprofError(thrown)
    ? thrown
    : new LoopprofError('LOOPPROF_INTERNAL', messageOf(thrown), { cause: thrown });
}
