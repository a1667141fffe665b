/** The bridge between `node:http` and the handler, and the standalone server. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseAddress } from '../config.js';
import { LoopprofError, messageOf } from '../errors.js';
import type { PprofHandler } from './message.js';

/** Where the standalone server serves, as Go's default mux does. */
export const STANDALONE_PATH = '/debug/pprof';

/**
 * Serves one request of a `node:http` server, or of a framework that hands out Node's own request and response.
 *
 * `path` is what comes below the mount: `/heap`, `/` for the index, or empty to be redirected to the slash. `url` is what the
 * client sent. Resolves when the answer is written or the client is gone; never rejects.
 */
export async function servePprof(
  handler: PprofHandler,
  { req, res }: { req: IncomingMessage; res: ServerResponse },
  { path, url }: { path: string; url: string },
): Promise<void> {
  const controller = new AbortController();
  const onClose = (): void => controller.abort();
  res.once('close', onClose);
  try {
    const { status, headers, body } = await handler({
      method: req.method ?? 'GET',
      url,
      path,
      headers: headersOf(req),
      remoteAddress: req.socket.remoteAddress,
      httpVersion: req.httpVersion,
      signal: controller.signal,
    });
    if (controller.signal.aborted || res.headersSent) return;
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    res.writeHead(status, {
      ...headers,
      ...(req.method === 'HEAD' ? {} : { 'Content-Length': String(bytes.length) }),
    });
    res.end(req.method === 'HEAD' ? undefined : bytes);
  } catch {
    // Writing failed: somebody else ended the response, or its socket is gone.
    res.destroy();
  } finally {
    res.removeListener('close', onClose);
  }
}

/** Node drops all but the first of some repeated headers; who may read must see all of them. */
function headersOf(req: IncomingMessage): Record<string, string | readonly string[] | undefined> {
  const headers: Record<string, string | readonly string[] | undefined> = {};
  for (const [name, values] of Object.entries(req.headersDistinct)) {
    headers[name] = values?.length === 1 ? values[0] : values;
  }
  return headers;
}

export interface StandaloneServer {
  /** URL of the index page. */
  readonly address: string;
  close(): Promise<void>;
}

/** Listens on `httpAddr`; rejects with LOOPPROF_ADDRESS_UNAVAILABLE naming it. Keeps no process alive. */
export async function startStandaloneServer(
  handler: PprofHandler,
  httpAddr: string,
): Promise<StandaloneServer> {
  const parsed = parseAddress(httpAddr);
  if (!parsed)
    throw new LoopprofError('LOOPPROF_INVALID_CONFIG', `\`httpAddr\` is malformed: '${httpAddr}'.`);
  const server = createServer((req, res) => {
    const url = req.url ?? '/';
    const [pathname = '/'] = url.split('?', 1);
    if (pathname === STANDALONE_PATH || pathname.startsWith(`${STANDALONE_PATH}/`)) {
      void servePprof(handler, { req, res }, { path: pathname.slice(STANDALONE_PATH.length), url });
    } else if (pathname === '/') {
      res.writeHead(302, { Location: `${STANDALONE_PATH.slice(1)}/` });
      res.end();
    } else {
      res.writeHead(404, { 'Content-Type': 'text/plain; charset=utf-8' });
      res.end(`404 page not found: everything here is below ${STANDALONE_PATH}/\n`);
    }
  });
  // An idle scraper's connection must not keep the host's process alive.
  server.on('connection', (socket) => socket.unref());
  server.on('clientError', (_error, socket) => socket.destroy());
  await listen(server, { httpAddr, host: parsed.host, port: parsed.port });
  server.unref();
  return {
    address: `http://${hostOf(server, parsed.host)}${STANDALONE_PATH}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function listen(
  server: Server,
  { httpAddr, host, port }: { httpAddr: string; host: string | undefined; port: number },
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const onError = (error: Error): void => {
      reject(
        new LoopprofError(
          'LOOPPROF_ADDRESS_UNAVAILABLE',
          `The standalone server cannot listen on httpAddr '${httpAddr}': ${messageOf(error)}. Set another httpAddr, or enableHTTP: false.`,
          { cause: error },
        ),
      );
    };
    server.once('error', onError);
    // 'localhost' would take whichever family the resolver names first; clients try both.
    server.listen({ port, host: host === 'localhost' ? '127.0.0.1' : host }, () => {
      server.removeListener('error', onError);
      server.on('error', () => {});
      resolve();
    });
  });
}

function hostOf(server: Server, host: string | undefined): string {
  const { address, family, port } = server.address() as AddressInfo;
  const shown = host === undefined ? 'localhost' : family === 'IPv6' ? `[${address}]` : address;
  return `${shown}:${port}`;
}
