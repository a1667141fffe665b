/** The kinds of asynchronous operations, under the names that Node has for them. */
import { pseudoFrame, type Frame } from './frames.js';

/** What an operation waits for; the label `kind`. */
export type OperationKind = string;

/** How a kind of work uses libuv's thread pool: work on names may take half of its threads at most. */
export type PoolUse = 'any' | 'names' | undefined;

export interface AsyncType {
  readonly kind: OperationKind;
  readonly pool: PoolUse;
  /** Whether it counts only while it is referenced, that is, while it keeps the process alive. */
  readonly referenced: boolean;
}

/** Kind of an `await` that has not gone on. */
export const AWAIT = 'await';

/** Kind of a promise that is pending, where nothing that waits for it is known. */
export const PROMISE = 'promise';

/** Kind of a piece of compression. */
export const ZLIB = 'zlib';

/** Kind of an HTTP request that the process has sent. */
export const HTTP_CLIENT = 'http-client';

/** Kind of a request that the process is answering. */
export const REQUEST = 'request';

/** Kind of a worker thread. */
export const WORKER = 'worker';

const handle = (kind: OperationKind): AsyncType => ({ kind, pool: undefined, referenced: true });
const request = (kind: OperationKind): AsyncType => ({ kind, pool: undefined, referenced: false });
const pooled = (kind: OperationKind, pool: PoolUse = 'any'): AsyncType => ({ kind, pool, referenced: false });

/** What async_hooks calls them. Types that are not here are no operations: open files, parsers, ticks, what users make. */
export const ASYNC_TYPES: ReadonlyMap<string, AsyncType> = new Map([
  ['PROMISE', request(PROMISE)],
  ['Timeout', handle('timer')],
  ['Immediate', handle('immediate')],
  ['TCPWRAP', handle('socket')],
  ['TCPSERVERWRAP', handle('server')],
  ['TCPCONNECTWRAP', request('connect')],
  ['PIPEWRAP', handle('pipe')],
  ['PIPESERVERWRAP', handle('server')],
  ['PIPECONNECTWRAP', request('connect')],
  ['WRITEWRAP', request('write')],
  ['SHUTDOWNWRAP', request('write')],
  ['UDPWRAP', handle('udp')],
  ['UDPSENDWRAP', request('write')],
  ['TTYWRAP', handle('tty')],
  ['PROCESSWRAP', handle('child-process')],
  ['FSEVENTWRAP', handle('fs-watch')],
  ['STATWATCHER', handle('fs-watch')],
  ['HTTPCLIENTREQUEST', request(HTTP_CLIENT)],
  ['QUERYWRAP', request('dns')],
  ['GETADDRINFOREQWRAP', pooled('dns', 'names')],
  ['GETNAMEINFOREQWRAP', pooled('dns', 'names')],
  ['FSREQCALLBACK', pooled('fs')],
  ['FSREQPROMISE', pooled('fs')],
  ['FILEHANDLECLOSEREQ', pooled('fs')],
  ['ZLIB', pooled(ZLIB)],
  ...[
    'ARGON2REQUEST',
    'CHECKPRIMEREQUEST',
    'CIPHERREQUEST',
    'DERIVEBITSREQUEST',
    'HASHREQUEST',
    'KEYEXPORTREQUEST',
    'KEYGENREQUEST',
    'KEYPAIRGENREQUEST',
    'PBKDF2REQUEST',
    'RANDOMBYTESREQUEST',
    'RANDOMPRIMEREQUEST',
    'SCRYPTREQUEST',
    'SIGNREQUEST',
    'VERIFYREQUEST',
  ].map((type) => [type, pooled('crypto')] as const),
]);

/** What `process.getActiveResourcesInfo()` calls them. */
const RESOURCE_KINDS: ReadonlyMap<string, OperationKind> = new Map([
  ['Timeout', 'timer'],
  ['Immediate', 'immediate'],
  ['TCPSocketWrap', 'socket'],
  ['TCPServerWrap', 'server'],
  ['PipeWrap', 'pipe'],
  ['PipeServerWrap', 'server'],
  ['ConnectWrap', 'connect'],
  ['TCPConnectWrap', 'connect'],
  ['PipeConnectWrap', 'connect'],
  ['LibuvStreamWrap', 'write'],
  ['LibuvWriteWrap', 'write'],
  ['LibuvShutdownWrap', 'write'],
  ['SendWrap', 'write'],
  ['UDPWrap', 'udp'],
  ['TTYWrap', 'tty'],
  ['ProcessWrap', 'child-process'],
  ['FSEventWrap', 'fs-watch'],
  ['StatWatcher', 'fs-watch'],
  ['GetAddrInfoReqWrap', 'dns'],
  ['GetNameInfoReqWrap', 'dns'],
  ['QueryReqWrap', 'dns'],
  ['FSReqCallback', 'fs'],
  ['FSReqPromise', 'fs'],
  ['FileHandleCloseReq', 'fs'],
  ['MessagePort', 'message-port'],
]);

/** How many operations of each kind are pending and referenced. What Node has no known kind for keeps Node's name. */
export function countActiveResources(): Map<OperationKind, number> {
  const counts = new Map<OperationKind, number>();
  for (const [name, count] of countNames(process.getActiveResourcesInfo())) {
    const kind = RESOURCE_KINDS.get(name) ?? name;
    counts.set(kind, (counts.get(kind) ?? 0) + count);
  }
  return counts;
}

/** There may be a hundred thousand, most of them in a row. */
function countNames(names: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  let start = 0;
  for (let index = 1; index <= names.length; index++) {
    const name = names[start] as string;
    if (names[index] === name) continue;
    counts.set(name, (counts.get(name) ?? 0) + index - start);
    start = index;
  }
  return counts;
}

const kindFrames = new Map<OperationKind, readonly Frame[]>();

/** The stack that stands for a kind where no place is known: one array per kind, so that stacks compare by identity. */
export function framesOfKind(kind: OperationKind): readonly Frame[] {
  let frames = kindFrames.get(kind);
  if (!frames) kindFrames.set(kind, (frames = [pseudoFrame(`(${kind})`)]));
  return frames;
}
