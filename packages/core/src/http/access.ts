import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import type { Access, AccessRequest } from '../config.js';
import { LoopprofError } from '../errors.js';
import type { PprofRequest } from './message.js';

/** Decides about one request: returns if it may read, throws LOOPPROF_FORBIDDEN or LOOPPROF_UNAUTHORIZED if not. */
export type AccessCheck = (request: PprofRequest) => void | Promise<void>;

/** A hook that has not answered by then has refused. */
const AUTHORIZE_TIMEOUT_MS = 10_000;

/** What proxies add. A request that carries any of them did not come straight from a program on this machine. */
const FORWARDING_HEADERS = [
  'forwarded',
  'via',
  'x-real-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'x-original-forwarded-for',
  'true-client-ip',
  'cf-connecting-ip',
  'fastly-client-ip',
  'x-envoy-external-address',
];

/** The check for routes mounted in an app, whose port a proxy on the same host may serve to the world. */
export function mountedAccess(access: Access, { writtenOut }: { writtenOut: boolean }): AccessCheck {
  const check = standaloneAccess(access);
  return (request) => {
    if (!writtenOut && process.env['NODE_ENV'] === 'production') {
      throw forbidden(
        "closed: NODE_ENV is production and `access` is not written out. Set access: { token }, or use the standalone server (httpAddr) and access: 'loopback'.",
      );
    }
    if (access === 'loopback' && request.httpVersion === '1.0') {
      throw forbidden(
        'closed: HTTP/1.0 is what proxies speak by default. Set access: { token }, or use HTTP/1.1.',
      );
    }
    return check(request);
  };
}

/** The check for the standalone server's own port. */
export function standaloneAccess(access: Access): AccessCheck {
  if (access === 'public') return () => {};
  if (access === 'loopback') return checkLoopback;
  if ('token' in access) return tokenCheck(access.token);
  return authorizeCheck(access.authorize);
}

function checkLoopback({ remoteAddress, headers }: PprofRequest): void {
  const hint = 'Set access: { token } to allow it.';
  if (!isLoopback(remoteAddress))
    throw forbidden(`closed: only requests from this machine are answered. ${hint}`);
  const forwarded = Object.keys(headers).some(
    (name) => name.startsWith('x-forwarded') || FORWARDING_HEADERS.includes(name),
  );
  if (forwarded) throw forbidden(`closed: the request came through a proxy. ${hint}`);
  const host = headers['host'];
  if (typeof host !== 'string' || !isLocalHost(host)) {
    throw forbidden(`closed: the Host header must be an IP address or exactly localhost. ${hint}`);
  }
  const site = headers['sec-fetch-site'];
  const foreignSite = site !== undefined && site !== 'none' && site !== 'same-origin';
  if (foreignSite || !isOwnOrigin(headers['origin'], host)) {
    throw forbidden(`closed: the request was sent by another site's page. ${hint}`);
  }
}

function isLoopback(address: string | undefined): boolean {
  if (address === undefined) return false;
  if (address === '::1') return true;
  const v4 = address.toLowerCase().startsWith('::ffff:') ? address.slice('::ffff:'.length) : address;
  return isIP(v4) === 4 && v4.startsWith('127.');
}

/** Against DNS rebinding: a name that an attacker's server resolves never is an IP literal or `localhost`. */
function isLocalHost(host: string): boolean {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:[\]]+))(?::\d{1,5})?$/i.exec(host);
  if (!match) return false;
  if (match[1] !== undefined) return isIP(match[1]) === 6;
  const name = match[2] as string;
  return name.toLowerCase() === 'localhost' || isIP(name) === 4;
}

function isOwnOrigin(origin: string | readonly string[] | undefined, host: string): boolean {
  return origin === undefined || origin === `http://${host}` || origin === `https://${host}`;
}

function tokenCheck(token: string): AccessCheck {
  const expected = digest(token);
  return ({ headers }) => {
    const given = tokenOf(headers['authorization']);
    // Digests have one length, so the comparison tells nothing about the token's.
    if (given !== undefined && timingSafeEqual(digest(given), expected)) return;
    throw new LoopprofError(
      'LOOPPROF_UNAUTHORIZED',
      'closed: send the token as "Authorization: Bearer TOKEN", or as the password: http://x:TOKEN@host/…',
    );
  };
}

/** The token of a Bearer header, or the password of a Basic one. */
function tokenOf(header: string | readonly string[] | undefined): string | undefined {
  if (typeof header !== 'string') return undefined;
  const [, scheme, credentials] = /^(\S+) +(\S+)\s*$/.exec(header) ?? [];
  if (scheme === undefined || credentials === undefined) return undefined;
  if (scheme.toLowerCase() === 'bearer') return credentials;
  if (scheme.toLowerCase() !== 'basic') return undefined;
  const pair = Buffer.from(credentials, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  return colon < 0 ? undefined : pair.slice(colon + 1);
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest();
}

function authorizeCheck(authorize: (request: AccessRequest) => boolean | Promise<boolean>): AccessCheck {
  return async ({ method, url, headers, remoteAddress }) => {
    let timer: NodeJS.Timeout | undefined;
    const refusedByTime = new Promise<false>((resolve) => {
      timer = setTimeout(resolve, AUTHORIZE_TIMEOUT_MS, false);
      timer.unref();
    });
    try {
      const allowed = Promise.resolve(authorize({ method, url, headers, remoteAddress }));
      if ((await Promise.race([allowed, refusedByTime])) === true) return;
    } catch {
      // Whatever went wrong in the hook, the answer is no.
    } finally {
      clearTimeout(timer);
    }
    throw forbidden('closed: refused by access.authorize.');
  };
}

function forbidden(message: string): LoopprofError {
  return new LoopprofError('LOOPPROF_FORBIDDEN', message);
}
