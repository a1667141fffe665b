/** HTTP requests that the process has sent and that are not answered yet, read off the open sockets: that costs nothing before. */

/** What node:http puts on the socket of a request. */
interface OutgoingMessage {
  readonly method?: unknown;
  readonly path?: unknown;
  readonly host?: unknown;
}

/** What undici, which `fetch` uses, says of a connection. */
interface ClientStats {
  readonly running?: unknown;
  readonly pending?: unknown;
}

/** Sockets looked at; listing them holds up the loop. */
const MAX_SOCKETS = 10_000;

/** Counts them; undefined when there are too many sockets to look at. */
export function countHttpClients(sockets: number): number | undefined {
  if (sockets > MAX_SOCKETS) return undefined;
  let count = 0;
  for (const handle of activeHandles()) count += requestsOn(handle);
  return count;
}

/** Node documents it as deprecated and has no other way to the sockets. */
function activeHandles(): readonly object[] {
  const { _getActiveHandles: list } = process as NodeJS.Process & { _getActiveHandles?: () => object[] };
  return list ? list() : [];
}

function requestsOn(handle: object): number {
  const { _httpMessage: message } = handle as { _httpMessage?: OutgoingMessage | null };
  // The message of a server's socket is a response, which has no host.
  if (message) return typeof message.method === 'string' && typeof message.host === 'string' ? 1 : 0;
  return undiciRequestsOn(handle);
}

function undiciRequestsOn(handle: object): number {
  const symbol = Object.getOwnPropertySymbols(handle).find(({ description }) => description === 'client');
  const client = symbol && (handle as Record<symbol, unknown>)[symbol];
  if (typeof client !== 'object' || client === null) return 0;
  const { stats } = client as { stats?: ClientStats };
  if (stats) return numberOf(stats.running) + numberOf(stats.pending);
  return valueOf(client, 'running') + valueOf(client, 'pending');
}

/** Before it had statistics, undici kept them under symbols. */
function valueOf(client: object, description: string): number {
  for (let at: object | null = client; at; at = Object.getPrototypeOf(at) as object | null) {
    const symbol = Object.getOwnPropertySymbols(at).find((each) => each.description === description);
    if (symbol) return numberOf((client as Record<symbol, unknown>)[symbol]);
  }
  return 0;
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}
