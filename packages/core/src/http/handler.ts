/** Answers requests below the mount. Knows no server, no framework, and profiles only by the registry. */
import { isLoopprofError, LoopprofError, messageOf } from '../errors.js';
import type { ProfilerConfig, SensitiveField } from '../config.js';
import type { Logger } from '../logger.js';
import type { JsonDocument } from '../profiles/document.js';
import { isEnabled, type CaptureRequest, type Profile } from '../profiles/profile.js';
import type { ProfileRegistry } from '../profiles/registry.js';
import type { TextDocument } from '../profiles/text-document.js';
import type { AccessCheck } from './access.js';
import { AuditLog } from './audit-log.js';
import type { CaptureBudget } from './capture-budget.js';
import { INDEX_CSP, indexPage } from './index-page.js';
import { COMMON_HEADERS, type PprofHandler, type PprofRequest, type PprofResponse } from './message.js';
import { parseCapture } from './params.js';
import { withoutPaths } from './without-paths.js';

/** Who may read is the check's affair. */
type ServedConfig = Omit<ProfilerConfig, 'access'>;

export interface HandlerOptions {
  readonly registry: ProfileRegistry;
  /** The configuration in force; throws the reason while there is none. */
  readonly config: () => ServedConfig;
  readonly checkAccess: AccessCheck;
  readonly logger: Logger;
  /** What captures may cost; all handlers of one thread share it. Throws the reason while nothing runs. */
  readonly budget: () => CaptureBudget;
  /** What the index page says of the process, read when it is shown. */
  readonly status: () => ProcessStatus | Promise<ProcessStatus>;
  /** Writes a snapshot and gives what is told about it. */
  readonly takeSnapshot: () => Promise<object>;
}

export interface ProcessStatus {
  readonly facts: readonly (readonly [string, string])[];
  /** What does not work, one line each. */
  readonly problems: readonly string[];
}

/** The one route that does something, and so is not for GET. */
const SNAPSHOT_PATH = '/snapshot';

const TEXT = 'text/plain; charset=utf-8';
const JSON_TYPE = 'application/json; charset=utf-8';

/** The options, and what the handler keeps between requests. */
interface HandlerState extends HandlerOptions {
  readonly audit: AuditLog;
}

/** A document costs a harvest, and little to write down. */
const DOCUMENT_COST = 0.25;

/** All profiles are made, and written down. */
const SNAPSHOT_COST = 10;

/** A full garbage collection holds up the event loop for as long as it takes. */
const GC_COST = 9;

export function createHandler(given: HandlerOptions): PprofHandler {
  const options: HandlerState = { ...given, audit: new AuditLog(given.logger) };
  return async (request) => {
    try {
      const response = await answer(request, options);
      return request.method === 'HEAD' ? { ...response, body: '' } : response;
    } catch (error) {
      return errorResponse(error, request, options);
    }
  };
}

async function answer(request: PprofRequest, options: HandlerState): Promise<PprofResponse> {
  try {
    await options.checkAccess(request);
  } catch (error) {
    if (isLoopprofError(error)) options.audit.refused(request, error);
    throw error;
  }
  if (request.path === SNAPSHOT_PATH) return snapshot(request, options);
  const name = request.path.slice(1);
  const text = options.registry.texts.find((each) => each.name === name);
  const methods = methodsOf(request.path, options.registry);
  if (!methods.includes(request.method)) {
    throw new LoopprofError(
      'LOOPPROF_METHOD_NOT_ALLOWED',
      `${request.method} is not allowed here: use ${methods.slice(0, -1).join(', ')} or ${methods.at(-1) ?? ''}.`,
    );
  }
  const { pathname, query } = splitUrl(request.url);
  if (request.path === '')
    return redirectTo(`${pathname.slice(pathname.lastIndexOf('/') + 1)}/${query && `?${query}`}`);
  if (name === '') return index(request, options);
  const document = options.registry.documents.find((each) => each.name === name);
  if (document) return json(document, { request, options });
  if (text) return plainText(text, { request, query, options });
  const profile = options.registry.lookup(name);
  if (!profile) {
    throw new LoopprofError(
      'LOOPPROF_UNKNOWN_PROFILE',
      `Unknown profile. Known: ${options.registry.names.join(', ')}`,
    );
  }
  return capture(profile, { request, query, options });
}

/** The methods that a route takes. */
function methodsOf(path: string, { texts }: ProfileRegistry): readonly string[] {
  if (path === SNAPSHOT_PATH) return ['POST'];
  const isPostable = texts.some(({ name, post }) => post === true && path === `/${name}`);
  return isPostable ? ['GET', 'HEAD', 'POST'] : ['GET', 'HEAD'];
}

async function snapshot(request: PprofRequest, options: HandlerState): Promise<PprofResponse> {
  const { method } = request;
  if (method !== 'POST')
    throw new LoopprofError(
      'LOOPPROF_METHOD_NOT_ALLOWED',
      `${method} is not allowed here: a snapshot writes files, use POST.`,
    );
  options.config();
  const { body } = await charged({ name: 'snapshot', cost: SNAPSHOT_COST }, { request, options }, async () =>
    jsonBody(await options.takeSnapshot()),
  );
  return { status: 201, headers: { ...COMMON_HEADERS, 'Content-Type': JSON_TYPE }, body };
}

async function json(
  document: JsonDocument,
  { request, options }: { request: PprofRequest; options: HandlerState },
): Promise<PprofResponse> {
  const headers = { ...COMMON_HEADERS, 'Content-Type': JSON_TYPE };
  if (request.method === 'HEAD') return { status: 200, headers, body: '' };
  const { name, polled = false } = document;
  const { body } = await charged({ name, polled, cost: DOCUMENT_COST }, { request, options }, async () =>
    jsonBody(await document.read()),
  );
  return { status: 200, headers, body };
}

async function plainText(
  document: TextDocument,
  { request, query, options }: { request: PprofRequest; query: string; options: HandlerState },
): Promise<PprofResponse> {
  const closedBecause = unnamedReason(document, options.config());
  if (closedBecause !== undefined) throw new LoopprofError('LOOPPROF_PROFILE_DISABLED', closedBecause);
  const headers = { ...COMMON_HEADERS, 'Content-Type': TEXT };
  if (request.method === 'HEAD') return { status: 200, headers, body: '' };
  const { name, polled = false } = document;
  const { body } = await charged({ name, polled, cost: DOCUMENT_COST }, { request, options }, async () => ({
    body: document.read(request.method === 'POST' ? ((await request.readBody?.()) ?? '') : query),
  }));
  return { status: 200, headers, body };
}

async function capture(
  profile: Profile,
  { request, query, options }: { request: PprofRequest; query: string; options: HandlerState },
): Promise<PprofResponse> {
  const config = options.config();
  const closedBecause = unnamedReason(profile, config) ?? disabledReason(profile, config);
  if (closedBecause !== undefined) throw new LoopprofError('LOOPPROF_PROFILE_DISABLED', closedBecause);
  const captureRequest = parseCapture(profile, query, {
    maxSeconds: config.maxSeconds,
    defaultSeconds: Math.min(config.maxSeconds, Math.round(config.profileDurationMs / 1000)),
    windowMs: config.windowMs,
    nowMs: Date.now(),
  });
  const asText = profile.text && captureRequest.debug !== 0;
  const filename =
    profile.file?.name ?? (captureRequest.deltaMs === undefined ? profile.name : `${profile.name}-delta`);
  const headers = {
    ...COMMON_HEADERS,
    'Content-Type': asText ? TEXT : (profile.file?.contentType ?? 'application/octet-stream'),
    ...(asText ? {} : { 'Content-Disposition': `attachment; filename="${filename}"` }),
  };
  if (request.method === 'HEAD') return { status: 200, headers, body: '' };
  const cost = collectsGarbage(profile, captureRequest) ? 1 + GC_COST : 1;
  const client = clientOf(request, captureRequest.client);
  const { body, notes } = await charged({ name: profile.name, cost }, { request, options }, () =>
    profile.capture({ ...captureRequest, client, signal: request.signal }),
  );
  if (typeof body === 'string') options.registry.addresses.learn(body);
  return { status: 200, headers: { ...headers, ...noteHeader(notes) }, body };
}

/** Captures within the budget, with a line in the log whatever comes of it. */
async function charged<Captured extends { readonly body: Uint8Array | string }>(
  { name, cost, polled = false }: { name: string; cost: number; polled?: boolean },
  { request, options: { budget, audit } }: { request: PprofRequest; options: HandlerState },
  capture: () => Promise<Captured>,
): Promise<Captured> {
  const level = polled ? ('debug' as const) : ('info' as const);
  const started = { profile: name, level, startedMs: performance.now() };
  let sizeBytes = 0;
  const done = budget().begin(cost);
  try {
    const captured = await capture();
    sizeBytes = captured.body.length;
    audit.captured(request, { ...started, sizeBytes });
    return captured;
  } catch (error) {
    audit.notCaptured(request, started, error);
    throw error;
  } finally {
    done(sizeBytes);
  }
}

function collectsGarbage({ collectsAtEnd }: Profile, { gc, deltaMs }: CaptureRequest): boolean {
  return gc || (collectsAtEnd === true && deltaMs !== undefined);
}

function jsonBody(value: object): { body: string } {
  return { body: `${JSON.stringify(value, undefined, 2)}\n` };
}

/** Who asks, as well as that can be told: scrapers do not name themselves. */
function clientOf({ remoteAddress, headers }: PprofRequest, name: string | undefined): string {
  return [remoteAddress, String(headers['user-agent']).slice(0, 200), name].join('\n');
}

function noteHeader(notes: readonly string[]): Record<string, string> {
  // Paths may be in them.
  return notes.length > 0 ? { 'X-Loopprof-Note': notes.join('; ').replace(/[^\x20-\x7e]/g, '?') } : {};
}

/** Why something sensitive is not served, if so. */
function unnamedReason(
  { name, sensitive }: { name: string; sensitive?: SensitiveField },
  config: ServedConfig,
): string | undefined {
  return sensitive === undefined || config.sensitive[sensitive]
    ? undefined
    : `${name} is served only when it is named: set \`sensitive: { ${sensitive}: true }\`.`;
}

function disabledReason(profile: Profile, config: ServedConfig): string | undefined {
  return isEnabled(profile, config)
    ? undefined
    : `The ${profile.name} profile is turned off: \`${profile.enabledBy}\` is false.`;
}

async function index({ headers, url }: PprofRequest, options: HandlerState): Promise<PprofResponse> {
  const { registry } = options;
  const config = options.config();
  const host = headers['host'];
  const { pathname } = splitUrl(url);
  const body = indexPage({
    entries: [...registry].map((profile) => ({
      profile,
      closedBecause: unnamedReason(profile, config) ?? disabledReason(profile, config),
    })),
    documents: [
      ...registry.documents,
      ...registry.texts.map((each) => ({ ...each, closedBecause: unnamedReason(each, config) })),
    ],
    ...(await options.status()),
    baseUrl: `http://${typeof host === 'string' ? host : 'localhost'}${pathname}`,
  });
  return {
    status: 200,
    headers: {
      ...COMMON_HEADERS,
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Security-Policy': INDEX_CSP,
    },
    body,
  };
}

/** Relative, so that it also holds behind a proxy that takes a part off the path. */
function redirectTo(location: string): PprofResponse {
  return {
    status: 301,
    headers: { ...COMMON_HEADERS, 'Content-Type': TEXT, Location: location },
    body: 'Moved Permanently\n',
  };
}

/** As Go's serveError: pprof shows the text only with `X-Go-Pprof` and a text type. */
function errorResponse(
  thrown: unknown,
  { path }: PprofRequest,
  { registry, logger }: HandlerOptions,
): PprofResponse {
  const known = isLoopprofError(thrown);
  if (!known) logger.error({ err: thrown }, `loopprof: a request failed: ${messageOf(thrown)}`);
  const status = known ? thrown.status : 500;
  // What is the client's own to mend has no paths but those that it sent.
  const message = known
    ? status < 500
      ? thrown.message
      : withoutPaths(thrown.message)
    : 'failed to collect profile';
  return {
    status,
    headers: {
      ...COMMON_HEADERS,
      'Content-Type': TEXT,
      'X-Go-Pprof': '1',
      ...(status === 401 ? { 'WWW-Authenticate': 'Basic realm="loopprof"' } : {}),
      ...(status === 405 ? { Allow: methodsOf(path, registry).join(', ') } : {}),
      ...retryAfter(known ? thrown : undefined),
    },
    body: `${message}\n`,
  };
}

function retryAfter(error: LoopprofError | undefined): Record<string, string> {
  const seconds = error?.retryAfterSeconds ?? (error?.code === 'LOOPPROF_LOOP_BLOCKED' ? 1 : undefined);
  return seconds === undefined ? {} : { 'Retry-After': String(seconds) };
}

function splitUrl(url: string): { pathname: string; query: string } {
  const mark = url.indexOf('?');
  return mark < 0
    ? { pathname: url, query: '' }
    : { pathname: url.slice(0, mark), query: url.slice(mark + 1) };
}
