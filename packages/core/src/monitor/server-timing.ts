import type { ServerResponse } from 'node:http';

/** The header's name. */
export const SERVER_TIMING = 'Server-Timing';

/**
 * Adds a `Server-Timing` value to a head that is about to be written with these arguments of `writeHead`. Headers that are given
 * there replace those that were set before, and where none was set before Node writes them as they are; so ours goes where the
 * app's own is, and else where it changes neither.
 */
export function addServerTiming(res: ServerResponse, args: unknown[], value: string): void {
  const at = typeof args[1] === 'string' || args[2] ? 2 : 1;
  const given = args[at];
  const headers = typeof given === 'object' ? given : undefined;
  const extended = headers && (Array.isArray(headers) ? inList(headers, value) : inObject(headers, value));
  if (extended) args[at] = extended;
  else if (!headers || res.hasHeader(SERVER_TIMING)) res.appendHeader(SERVER_TIMING, value);
  else
    args[at] = Array.isArray(headers)
      ? [...(headers as unknown[]), ...newEntry(headers, value)]
      : { ...headers, [SERVER_TIMING]: value };
}

/** `[name, value, …]`, or pairs of them; undefined where the header is in neither. */
function inList(headers: unknown[], value: string): unknown[] | undefined {
  const paired = Array.isArray(headers[0]);
  const index = paired
    ? headers.findLastIndex((pair) => isName((pair as unknown[])[0]))
    : headers.findLastIndex((name, at) => at % 2 === 0 && isName(name));
  if (index < 0) return undefined;
  if (!paired) return headers.with(index + 1, both(headers[index + 1], value));
  const [name, own] = headers[index] as unknown[];
  return headers.with(index, [name, both(own, value)]);
}

function newEntry(headers: unknown[], value: string): unknown[] {
  return Array.isArray(headers[0]) ? [[SERVER_TIMING, value]] : [SERVER_TIMING, value];
}

function inObject(headers: object, value: string): object | undefined {
  const name = Object.keys(headers).findLast(isName);
  return name === undefined ? undefined : { ...headers, [name]: both(headers[name as keyof object], value) };
}

function both(own: unknown, value: string): unknown[] {
  return Array.isArray(own) ? [...(own as unknown[]), value] : [own, value];
}

function isName(name: unknown): boolean {
  return typeof name === 'string' && name.toLowerCase() === 'server-timing';
}
