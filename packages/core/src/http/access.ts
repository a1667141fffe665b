import { createHash, timingSafeEqual } from 'node:crypto';
import { socketPath, type Access, type AccessRequest } from '../config.js';
import { isLoopprofError, LoopprofError } from '../errors.js';
import { BackOff } from './back-off.js';
import { checkDirect, checkLoopback, checkSite } from './loopback.js';
import type { PprofRequest } from './message.js';

/**
 * Decides about one request: returns if it may read, throws LOOPPROF_FORBIDDEN, LOOPPROF_UNAUTHORIZED or LOOPPROF_TOO_MANY if not.
 * Keeps who has guessed tokens, so a door has one check for all its requests.
 */
export type AccessCheck = (request: PprofRequest) => void | Promise<void>;

/** Asks a hook that lives in another thread; the signal aborts when nobody waits for the answer any more. */
export type AskElsewhere = (request: AccessRequest, signal: AbortSignal | undefined) => Promise<boolean>;

/** Who may read, where hooks can only be asked for. */
export type RemoteAccess = Exclude<Access, { readonly authorize: unknown }> | { readonly ask: AskElsewhere };

/** A hook that has not answered by then has refused. */
const AUTHORIZE_TIMEOUT_MS = 10_000;

/** Requests that a hook may have before it at one time; more are refused, or one that hangs would keep them all. */
const MAX_UNANSWERED = 64;

/** The check for routes mounted in an app, whose port a proxy on the same host may serve to the world. */
export function mountedAccess(access: Access, { writtenOut }: { writtenOut: boolean }): AccessCheck {
  const check = accessCheck(access, checkLoopback);
  return (request) => {
    if (!writtenOut && process.env['NODE_ENV'] === 'production') {
      throw forbidden(
        "closed: NODE_ENV is production and `access` is not written out. Set access: { token }, or use the standalone server (httpAddr) and access: 'loopback'.",
      );
    }
    if (access === 'loopback' && request.httpVersion === '1.0') {
      throw forbidden('closed: HTTP/1.0 is what many proxies speak. Set access: { token }, or use HTTP/1.1.');
    }
    return check(request);
  };
}

/** The check for the standalone server, which has its address for itself; a Unix domain socket is its owner's alone. */
export function serverAccess(access: Access | RemoteAccess, httpAddr: string): AccessCheck {
  return accessCheck(access, socketPath(httpAddr) === undefined ? checkLoopback : checkDirect);
}

/**
 * A hook that is asked about so many requests at a time, and has so long for each; rejects past either. A place is given back when
 * the hook has answered or its time is over, and not when the client has gone, which may come again at once.
 */
export function boundedHook(
  authorize: (request: AccessRequest) => boolean | Promise<boolean>,
): (request: AccessRequest) => Promise<boolean> {
  let unanswered = 0;
  return async (request) => {
    if (unanswered >= MAX_UNANSWERED)
      throw new Error(`access.authorize has ${MAX_UNANSWERED} requests before it that it has not answered`);
    unanswered += 1;
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(
        () => reject(new Error(`access.authorize gave no answer within ${AUTHORIZE_TIMEOUT_MS / 1000} s`)),
        AUTHORIZE_TIMEOUT_MS,
      );
      timer.unref();
    });
    try {
      return (await Promise.race([authorize(request), timeout])) === true;
    } finally {
      clearTimeout(timer);
      unanswered -= 1;
    }
  };
}

function accessCheck(access: Access | RemoteAccess, local: AccessCheck): AccessCheck {
  if (access === 'loopback') return local;
  const check = access === 'public' ? () => {} : identityCheck(access);
  return (request) => {
    // A browser sends the password it knows with whatever another site's page has it send.
    if (access !== 'public' || request.method === 'POST') checkSite(request);
    return check(request);
  };
}

function identityCheck(access: Exclude<Access | RemoteAccess, string>): AccessCheck {
  if ('token' in access) return tokenCheck(access.token);
  return hookCheck('ask' in access ? access.ask : boundedHook((request) => access.authorize(request)));
}

function tokenCheck(token: string): AccessCheck {
  const expected = digest(token);
  const backOff = new BackOff();
  return ({ headers, remoteAddress }) => {
    const given = tokenOf(headers['authorization']);
    if (given === undefined) throw unauthorized();
    // Digests have one length, so the comparison tells nothing about the token's. The right one need not wait for those who guess:
    // behind a proxy all have one address.
    if (timingSafeEqual(digest(given), expected)) return;
    const waitMs = backOff.waitMs(remoteAddress);
    if (waitMs > 0) {
      const retryAfterSeconds = Math.ceil(waitMs / 1000);
      throw new LoopprofError(
        'LOOPPROF_TOO_MANY',
        `closed: too many wrong tokens from this address: wait ${retryAfterSeconds} s.`,
        { retryAfterSeconds },
      );
    }
    backOff.noteFailure(remoteAddress);
    throw unauthorized();
  };
}

function unauthorized(): LoopprofError {
  return new LoopprofError(
    'LOOPPROF_UNAUTHORIZED',
    'closed: send the token as "Authorization: Bearer TOKEN", or as the password: http://x:TOKEN@host/…',
  );
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

function hookCheck(ask: AskElsewhere): AccessCheck {
  return async ({ method, url, headers, remoteAddress, signal }) => {
    let failure: unknown;
    try {
      if (await ask({ method, url, headers, remoteAddress }, signal)) return;
    } catch (error) {
      // Nobody could ask it: that is not its refusal, and not a yes either.
      if (isLoopprofError(error) && error.code === 'LOOPPROF_LOOP_BLOCKED') throw error;
      // Whatever went wrong in the hook, the answer is no; the log says what.
      failure = error;
    }
    throw new LoopprofError('LOOPPROF_FORBIDDEN', 'closed: refused by access.authorize.', { cause: failure });
  };
}

function forbidden(message: string): LoopprofError {
  return new LoopprofError('LOOPPROF_FORBIDDEN', message);
}
