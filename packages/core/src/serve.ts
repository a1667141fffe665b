/** Serves the profiles from a server of the user's own. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { PprofHandler, PprofResponse } from './http/message.js';
import { answerNodeRequest, serveNodeRequest } from './http/node-server.js';
import { ignoreRequest } from './monitor/request-timing.js';

/** Where a request goes: `path` below the mount (`/heap`; `/` is the index; empty is redirected to the slash), `url` as sent. */
export interface PprofTarget {
  readonly path: string;
  readonly url: string;
}

/**
 * servePprof answers a request of a `node:http` server, or of a framework that hands out Node's own request and response, and
 * writes the answer. Resolves when that is done or the client is gone; never rejects.
 *
 * @example
 * ```ts
 * const handler = profiler.createHandler();
 * createServer((req, res) => {
 *   const path = pathBelow(pathOf(req.url), '/debug/pprof');
 *   if (path !== undefined) return servePprof(handler, { req, res }, { path, url: req.url });
 *   // … your own routes
 * });
 * ```
 */
export async function servePprof(
  handler: PprofHandler,
  message: { req: IncomingMessage; res: ServerResponse },
  target: PprofTarget,
): Promise<void> {
  ignoreRequest(message.req);
  await serveNodeRequest(handler, message, target);
}

/** answerPprof gives the answer instead of writing it, for frameworks that write it themselves. Never rejects. */
export async function answerPprof(
  handler: PprofHandler,
  message: { req: IncomingMessage; res: ServerResponse },
  target: PprofTarget,
): Promise<PprofResponse> {
  ignoreRequest(message.req);
  return answerNodeRequest(handler, message, target);
}
