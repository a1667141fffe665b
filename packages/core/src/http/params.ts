import { LoopprofError } from '../errors.js';
import type { CaptureRequest, Profile } from '../profiles/profile.js';

export interface ParamLimits {
  readonly maxSeconds: number;
  readonly defaultSeconds: number;
  /** How far back `from` may lie. */
  readonly windowMs: number;
  readonly nowMs: number;
}

/**
 * Reads `seconds`, `from`, `to`, `debug`, `gc` and `client` as Go does, except that a bad value is refused instead of being replaced by
 * a default. Throws LOOPPROF_INVALID_PARAMETER with the rule.
 */
export function parseCapture(profile: Profile, query: string, limits: ParamLimits): CaptureRequest {
  const params = new URLSearchParams(query);
  const seconds = parseSeconds(single(params, 'seconds'), {
    maxSeconds: limits.maxSeconds,
    fractions: profile.seconds === 'recording',
  });
  const debug = parseFlag(single(params, 'debug'));
  const gc = parseFlag(single(params, 'gc')) > 0;
  const from = single(params, 'from');
  const to = single(params, 'to');
  if (profile.seconds !== 'window') {
    if (from !== undefined || to !== undefined) {
      throw invalid(
        `"from" and "to" are not supported for this profile type: ${profile.name} is a snapshot of now.`,
      );
    }
    const client = clipped(single(params, 'client') ?? '', MAX_CLIENT_LENGTH);
    if (profile.seconds === 'ignored') return { debug, gc, client };
    if (profile.seconds === 'recording') return { debug: 0, gc: false, recordMs: (seconds ?? 1) * 1000 };
    if (seconds === undefined) return { debug, gc };
    if (debug !== 0) throw invalid('seconds and debug params are incompatible');
    return { debug, gc: false, deltaMs: seconds * 1000 };
  }
  if (from === undefined && to === undefined) {
    const fromMicros = limits.nowMs * 1000;
    const toMicros = fromMicros + (seconds ?? limits.defaultSeconds) * 1_000_000;
    return { debug, gc, window: { fromMicros, toMicros } };
  }
  if (seconds !== undefined)
    throw invalid('"seconds" is a time from now and cannot be combined with "from" and "to".');
  return { debug, gc, window: parseRange(from, to, limits) };
}

const SHORTEST_RECORDING_SECONDS = 0.001;

/** Enough for any name; it is kept for a while. */
const MAX_CLIENT_LENGTH = 200;

/** The value of a parameter: scrapers repeat parameters, which is fine as long as they agree. */
function single(params: URLSearchParams, name: string): string | undefined {
  const values = new Set(params.getAll(name));
  if (values.size > 1)
    throw invalid(`"${name}" is given more than once with different values: give it once.`);
  return [...values][0];
}

function parseSeconds(
  text: string | undefined,
  { maxSeconds, fractions }: { maxSeconds: number; fractions: boolean },
): number | undefined {
  if (text === undefined) return undefined;
  const seconds = (fractions ? /^\+?\d+(\.\d+)?$/ : /^\+?\d+$/).test(text) ? Number(text) : 0;
  if (seconds < (fractions ? SHORTEST_RECORDING_SECONDS : 1) || seconds > maxSeconds) {
    throw invalid(
      `invalid value for "seconds" - must be a positive ${fractions ? 'number' : 'integer'} up to ${maxSeconds} (maxSeconds), ` +
        `got "${clipped(text)}"`,
    );
  }
  return seconds;
}

/** Go's rule: what is not a number counts as 0. */
function parseFlag(text: string | undefined): number {
  return text !== undefined && /^[+-]?\d+$/.test(text) ? Number(text) : 0;
}

function parseRange(
  from: string | undefined,
  to: string | undefined,
  { maxSeconds, windowMs, nowMs }: ParamLimits,
): { fromMicros: number; toMicros: number } {
  if (from === undefined) throw invalid('"to" needs "from".');
  const fromMs = parseInstant('from', from, nowMs);
  const toMs = to === undefined ? nowMs : parseInstant('to', to, nowMs);
  if (toMs <= fromMs) throw invalid('"from" must lie before "to".');
  if (toMs > nowMs + 1000)
    throw invalid('"to" must not lie in the future: use "seconds" for a time from now.');
  if (toMs - fromMs > maxSeconds * 1000)
    throw invalid(`"from" and "to" may be ${maxSeconds} s apart at most (maxSeconds).`);
  if (fromMs < nowMs - windowMs) {
    throw invalid(
      `"from" lies further back than the recorder keeps: at most ${windowMs / 1000} s (windowMs).`,
    );
  }
  return { fromMicros: fromMs * 1000, toMicros: toMs * 1000 };
}

const RELATIVE = /^now(?:-(\d+(?:\.\d+)?)(s|m))?$/;
const DATE = /^\d{4}-\d{2}-\d{2}T/;

/** `now`, `now-90s`, `now-2m`, Unix seconds, or an ISO 8601 time; in milliseconds since the epoch. */
function parseInstant(name: string, text: string, nowMs: number): number {
  const relative = RELATIVE.exec(text);
  if (relative) return nowMs - Number(relative[1] ?? 0) * (relative[2] === 'm' ? 60_000 : 1000);
  const instant = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : DATE.test(text) ? Date.parse(text) : NaN;
  if (!Number.isFinite(instant)) {
    throw invalid(
      `invalid value for "${name}" - must be now, now-90s, now-2m, Unix seconds or an ISO 8601 time, got "${clipped(text)}"`,
    );
  }
  return instant;
}

function clipped(text: string, maxLength = 40): string {
  return text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
}

function invalid(message: string): LoopprofError {
  return new LoopprofError('LOOPPROF_INVALID_PARAMETER', message);
}
