/** What proves that a request was sent by a program on this machine, and by no page of another site. */
import { isIP } from 'node:net';
import { LoopprofError } from '../errors.js';
import type { PprofRequest } from './message.js';

/** What proxies add. A request that carries any of them did not come straight from a program on this machine. */
const PROXY_HEADER =
  /^(?:via|cdn-loop|proxy-connection|x-scheme|x-envoy-external-address|x-original-(?:host|url|uri)|x-rewrite-url)$|forwarded|(?:real|client|connecting|connection|user)-?ip$/;

const HINT = 'Set access: { token } to allow it.';

/** Throws LOOPPROF_FORBIDDEN unless the socket's other end is on this machine and nothing says that it speaks for somebody else. */
export function checkLoopback(request: PprofRequest): void {
  if (!isLoopback(request.remoteAddress))
    throw forbidden(`closed: only requests from this machine are answered. ${HINT}`);
  checkDirect(request);
}

/** The rest of the check, where the socket itself proves the machine: a Unix domain socket that only its owner may open. */
export function checkDirect(request: PprofRequest): void {
  const { url, headers } = request;
  if (Object.keys(headers).some((name) => PROXY_HEADER.test(name)))
    throw forbidden(`closed: the request came through a proxy. ${HINT}`);
  // A URL with a host in it is what is sent to proxies, and its host counts for more than the header.
  if (!url.startsWith('/')) throw forbidden(`closed: the request was meant for a proxy. ${HINT}`);
  const host = headers['host'];
  if (typeof host !== 'string' || !isLoopbackHost(host)) {
    throw forbidden(`closed: the Host header must be a loopback address or exactly localhost. ${HINT}`);
  }
  checkSite(request);
}

/** Throws LOOPPROF_FORBIDDEN for what another site's page has a browser send. Browsers say `Sec-Fetch-Site` only over TLS and to this machine. */
export function checkSite({ headers }: PprofRequest): void {
  const site = headers['sec-fetch-site'];
  const isForeign = site !== undefined && site !== 'none' && site !== 'same-origin';
  if (isForeign || !isOwnOrigin(headers['origin'], headers['host']))
    throw forbidden(
      "closed: the request was sent by another site's page. Open this address by itself, or ask with a program.",
    );
}

function isLoopback(address: string | undefined): boolean {
  if (address === undefined) return false;
  if (address === '::1') return true;
  const v4 = address.toLowerCase().startsWith('::ffff:') ? address.slice('::ffff:'.length) : address;
  return isIP(v4) === 4 && v4.startsWith('127.');
}

/**
 * Against DNS rebinding: a name that an attacker's server resolves never is an address or `localhost`. Of addresses only those
 * count that browsers trust as this machine's: to others, `0.0.0.0` and `[::ffff:127.0.0.1]` among them, they send no Sec-Fetch-Site.
 */
function isLoopbackHost(host: string): boolean {
  const name = /^(\[::1\]|[^\s:[\]]+)(?::\d{1,5})?$/.exec(host)?.[1];
  if (name === undefined) return false;
  return (
    name === '[::1]' || name.toLowerCase() === 'localhost' || (isIP(name) === 4 && name.startsWith('127.'))
  );
}

type Header = string | readonly string[] | undefined;

function isOwnOrigin(origin: Header, host: Header): boolean {
  if (origin === undefined) return true;
  return typeof host === 'string' && (origin === `http://${host}` || origin === `https://${host}`);
}

function forbidden(message: string): LoopprofError {
  return new LoopprofError('LOOPPROF_FORBIDDEN', message);
}
