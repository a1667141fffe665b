/** The bridge between `node:http` and the handler, and the standalone server. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import onFinished from 'on-finished';
import { parseAddress, socketPath } from '../config.js';
import { LoopprofError, messageOf } from '../errors.js';
import { COMMON_HEADERS, type PprofHandler, type PprofResponse } from './message.js';
import { listenOnUnixSocket } from './unix-socket.js';

/** Where the standalone server serves, as Go's default mux does. */
export const STANDALONE_PATH = '/debug/pprof';

/** Answers a request of `node:http` without writing the answer. Never rejects. */
export async function answerNodeRequest(
  handler: PprofHandler,
  { req, res }: { req: IncomingMessage; res: ServerResponse },
  { path, url }: { path: string; url: string },
): Promise<PprofResponse> {
  const controller = new AbortController();
  try {
    onFinished(res, () => controller.abort());
    const response = await handler({
      method: req.method ?? 'GET',
      url,
      path,
      headers: headersOf(req),
      remoteAddress: req.socket.remoteAddress,
      httpVersion: req.httpVersion,
      readBody: () => readBody(req),
      signal: controller.signal,
    });
    dropSlowReader(res, response.body.length);
    return response;
  } catch {
    // Not a request of node:http's kind; the handler itself never rejects.
    return {
      status: 500,
      headers: { ...COMMON_HEADERS, 'Content-Type': 'text/plain; charset=utf-8' },
      body: 'failed\n',
    };
  }
}

/** A reader may take this long, and a second more for each of so many bytes; its answer is held in memory meanwhile. */
const READING_MS = 30_000;
const READING_BYTES_PER_SECOND = 16 * 1024;

function dropSlowReader(res: ServerResponse, sizeBytes: number): void {
  const limitMs = READING_MS + (sizeBytes / READING_BYTES_PER_SECOND) * 1000;
  const timer = setTimeout(() => res.destroy(), limitMs);
  timer.unref();
  const settle = (): void => clearTimeout(timer);
  res.once('finish', settle);
  res.once('close', settle);
}

/** Answers a request and writes the answer. Resolves when that is done or the client is gone; never rejects. */
export async function serveNodeRequest(
  handler: PprofHandler,
  { req, res }: { req: IncomingMessage; res: ServerResponse },
  target: { path: string; url: string },
): Promise<void> {
  const { status, headers, body } = await answerNodeRequest(handler, { req, res }, target);
  if (res.headersSent || res.destroyed) return;
  try {
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    const head = req.method === 'HEAD';
    res.writeHead(status, { ...headers, ...(head ? {} : { 'Content-Length': String(bytes.length) }) });
    res.end(head ? undefined : bytes);
  } catch {
    // Somebody else has ended the response, or its socket is gone.
    res.destroy();
  }
}

/** What pprof posts is a list of addresses. */
const MAX_BODY_BYTES = 2 * 1024 * 1024;

/** What was posted: as a body parser that ran before us has left it, else as it arrives. */
function readBody(req: IncomingMessage & { readonly body?: unknown }): Promise<string> {
  const { body } = req;
  if (typeof body === 'string') return Promise.resolve(body);
  if (body instanceof Uint8Array) return Promise.resolve(Buffer.from(body).toString('latin1'));
  if (req.readableEnded || req.destroyed) return Promise.resolve('');
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let sizeBytes = 0;
    const settle = (error?: LoopprofError): void => {
      req.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose);
      // Node reads on by itself what nobody wants, so that the client gets to the answer.
      if (error) reject(error);
      else resolve(Buffer.concat(pieces).toString('latin1'));
    };
    const onEnd = (): void => settle();
    const onClose = (): void =>
      settle(new LoopprofError('LOOPPROF_ABORTED', 'The client went away before it had sent the body.'));
    const onData = (piece: Buffer): void => {
      sizeBytes += piece.length;
      pieces.push(piece);
      if (sizeBytes <= MAX_BODY_BYTES) return;
      settle(
        new LoopprofError(
          'LOOPPROF_INVALID_PARAMETER',
          `The body is larger than ${MAX_BODY_BYTES} bytes: ask for fewer addresses at a time.`,
        ),
      );
    };
    req.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose);
  });
}

/** The path of a URL as the client sent it, without the query. */
export function pathOf(url: string): string {
  const query = url.indexOf('?');
  return query < 0 ? url : url.slice(0, query);
}

/** What of a path lies below a mount such as `/debug/pprof`: empty for the mount itself; undefined when it lies elsewhere. */
export function pathBelow(path: string, mount: string): string | undefined {
  if (!path.startsWith(mount)) return undefined;
  const below = path.slice(mount.length);
  return below === '' || below.startsWith('/') ? below : undefined;
}

/**
 * Node drops all but the first of some repeated headers; who may read must see all of them. HTTP/2 and the requests that
 * frameworks invent for tests have no such list, and HTTP/2 calls the host `:authority`. Where that and a Host header say different
 * things, both are passed on.
 */
function headersOf(req: IncomingMessage): Record<string, string | readonly string[] | undefined> {
  const given = (req.headersDistinct as NodeJS.Dict<string[]> | undefined) ?? req.headers;
  const headers: Record<string, string | readonly string[] | undefined> = {};
  for (const [name, value] of Object.entries(given)) {
    headers[name] = Array.isArray(value) && value.length === 1 ? value[0] : value;
  }
  const { host, ':authority': authority = host } = headers;
  headers['host'] = host === undefined || host === authority ? authority : [String(authority), String(host)];
  return headers;
}

/** Connections to the standalone server at one time; more are closed. */
const MAX_CONNECTIONS = 256;

/** How long a client may take to say what it wants. */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 20_000;

export interface StandaloneServer {
  /** URL of the index page, or `unix:` and the path of the socket. */
  readonly address: string;
  close(): Promise<void>;
}

/** Listens on `httpAddr`; rejects with LOOPPROF_ADDRESS_UNAVAILABLE naming it. Keeps no process alive. */
export async function startStandaloneServer(
  handler: PprofHandler,
  httpAddr: string,
): Promise<StandaloneServer> {
  const limits = { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS };
  const server = createServer(limits, (req, res) => {
    const url = req.url ?? '/';
    const pathname = pathOf(url);
    const path = pathBelow(pathname, STANDALONE_PATH);
    if (path !== undefined) {
      void serveNodeRequest(handler, { req, res }, { path, url });
      return;
    }
    const headers = { ...COMMON_HEADERS, 'Content-Type': 'text/plain; charset=utf-8' };
    if (pathname === '/') res.writeHead(302, { ...headers, Location: `${STANDALONE_PATH.slice(1)}/` });
    else res.writeHead(404, headers);
    res.end(`Everything here is below ${STANDALONE_PATH}/\n`);
  });
  // An idle scraper's connection must not keep the host's process alive.
  server.on('connection', (socket) => socket.unref());
  server.on('clientError', (_error, socket) => socket.destroy());
  server.maxConnections = MAX_CONNECTIONS;
  const bound = await bind(server, httpAddr);
  server.on('error', () => {});
  server.unref();
  return {
    address: bound.address,
    close: () =>
      new Promise((resolve) => {
        bound.release();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Bound {
  readonly address: string;
  release(): void;
}

async function bind(server: Server, httpAddr: string): Promise<Bound> {
  try {
    const path = socketPath(httpAddr);
    if (path !== undefined)
      return { address: `unix:${path}`, release: await listenOnUnixSocket(server, path) };
    const parsed = parseAddress(httpAddr);
    if (!parsed) throw new Error('it is malformed');
    await listen(server, parsed);
    return { address: `http://${hostOf(server, parsed.host)}${STANDALONE_PATH}/`, release: () => {} };
  } catch (error) {
    throw new LoopprofError(
      'LOOPPROF_ADDRESS_UNAVAILABLE',
      `The standalone server cannot listen on httpAddr '${httpAddr}': ${messageOf(error)}. ${adviceFor(error)}`,
      { cause: error },
    );
  }
}

function adviceFor(error: unknown): string {
  const advice = "Set another httpAddr ('localhost:0' takes a free port), or enableHTTP: false.";
  return (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
    ? `Who answers there is another process, such as another worker of the same cluster; when that has gone, this one takes its place. ${advice}`
    : advice;
}

function listen(server: Server, { host, port }: { host: string | undefined; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // 'localhost' would take whichever family the resolver names first; clients try both.
    // Shared among the workers of a cluster, it would answer for whichever of them comes next.
    server.listen({ port, host: host === 'localhost' ? '127.0.0.1' : host, exclusive: true }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

function hostOf(server: Server, host: string | undefined): string {
  const { address, family, port } = server.address() as AddressInfo;
  const shown = host === undefined ? 'localhost' : family === 'IPv6' ? `[${address}]` : address;
  return `${shown}:${port}`;
}
