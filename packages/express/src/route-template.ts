/**
 * Finds the template of a route, mounts included: `/api/:version/users/:id`.
 *
 * Express tells a handler only the concrete prefix it was mounted under (`/api/v1`), so the template is looked up in the app's
 * own table of routers: once per route, from then on it is remembered. What is not found there never becomes a raw path.
 */
import type { Application, Request } from 'express';

/** The parts of Express's routers that are read here; 4 and 5 differ in what a layer remembers. */
interface Layer {
  route?: object | undefined;
  handle?: { stack?: Layer[] };
  /** Express 5 since router 2.3: the path as it was given. */
  rawPath?: unknown;
  /** Express 4: compiled from the path, or the RegExp that was given. */
  regexp?: RegExp & { fast_slash?: boolean };
  /** Express 4. */
  keys?: { name: string | number }[];
  /** Express 5: whether the path was '/'. */
  slash?: boolean;
  /** Express 5. */
  matchers?: ((path: string) => false | { path: string; params: Record<string, unknown> })[];
}

interface AppWithRouter {
  /** Express 4; there `router` is a getter that throws. */
  _router?: { stack: Layer[] };
  router?: { stack: Layer[] };
  parent?: AppWithRouter;
  mountpath?: string | string[];
}

/** A prefix whose parts this module could not name. */
const UNKNOWN_PREFIX = '/*';

const MAX_DEPTH = 16;

/** Where a mount shows only in the URL of a request through it, the first requests may have come another way. */
const MAX_VAIN_SEARCHES = 16;

/** What stands before a route, mounts included, and with it the route's template. */
interface Mount {
  readonly prefix: string;
  /** What the URL looks like that leads through it; Express does not look at the case unless told to. */
  readonly pattern: RegExp;
  readonly template: string;
}

interface Known {
  readonly mounts: readonly Mount[];
  /** How many of the last searches have found nothing new. */
  readonly vainSearches: number;
  /** What it is called where the URL fits none of the mounts; undefined: look again, one may have been added. */
  readonly otherwise: string | undefined;
}

type KnownByRoute = WeakMap<object, Known>;

/** The templates of an app's routes, and of those of the apps that are mounted in it. */
export class RouteTemplates {
  readonly #knownByApp = new WeakMap<object, KnownByRoute>();
  /** The app that was asked for last; there are seldom two. */
  #app: object | undefined;
  #knownByRoute: KnownByRoute | undefined;

  /** The template of the route that `req` has just reached. */
  of(req: Request, route: { path?: unknown }): string {
    const { app, baseUrl } = req;
    const knownByRoute = (app === this.#app && this.#knownByRoute) || this.#of(app);
    const known = knownByRoute.get(route);
    const template = known && templateOf(known, baseUrl);
    if (template !== undefined) return template;
    const found = search(req, route, known);
    knownByRoute.set(route, found);
    return templateOf(found, baseUrl) ?? nameOf(found.mounts, route);
  }

  #of(app: object): KnownByRoute {
    let knownByRoute = this.#knownByApp.get(app);
    if (!knownByRoute) this.#knownByApp.set(app, (knownByRoute = new WeakMap<object, Known>()));
    this.#app = app;
    this.#knownByRoute = knownByRoute;
    return knownByRoute;
  }
}

/** The template with the mount that the URL went through. */
function templateOf({ mounts, otherwise }: Known, baseUrl: string): string | undefined {
  for (const { prefix, template } of mounts) if (prefix === baseUrl) return template;
  for (const { pattern, template } of mounts) if (pattern.test(baseUrl)) return template;
  return otherwise;
}

/**
 * A mount by a RegExp, or with parts that may be left out, fits no pattern of ours; where it is the only one it was that. One that
 * does have a pattern was not it: somebody has called the router as a function.
 */
function nameOf(mounts: readonly Mount[], route: { path?: unknown }): string {
  const [only] = mounts;
  return mounts.length === 1 && only && !PLAIN.test(only.prefix)
    ? only.template
    : UNKNOWN_PREFIX + pathText(route.path);
}

/** Static parts and whole parameters. */
const PLAIN = /^[^*{}()?+|[\]\\^$]*$/;

/** Looks for the route in the app's routers; what was known before stays known. */
function search(req: Request, route: { path?: unknown }, before: Known | undefined): Known {
  const own = pathText(route.path);
  const prefixes = new Set(before?.mounts.map(({ prefix }) => prefix));
  for (const prefix of prefixesOf(req.app, route, req.baseUrl)) prefixes.add(prefix);
  const mounts = [...prefixes].map((prefix) => ({
    prefix,
    pattern: patternOf(prefix),
    template: prefix !== '' && own === '/' ? prefix : prefix + own,
  }));
  // A router may be mounted once more after its first request.
  const vainSearches = mounts.length === before?.mounts.length ? before.vainSearches + 1 : 0;
  const most = prefixes.has(UNKNOWN_PREFIX) ? MAX_VAIN_SEARCHES : 1;
  return { mounts, vainSearches, otherwise: vainSearches >= most ? nameOf(mounts, route) : undefined };
}

function patternOf(prefix: string): RegExp {
  const parts = prefix
    .split('/')
    .map((part) => (part.includes(':') ? '[^/]+' : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')));
  return new RegExp(`^${parts.join('/')}$`, 'i');
}

/** All ways to reach the route from the outermost app, as templates of what stands before it. */
function prefixesOf(app: Application, route: object, baseUrl: string): readonly string[] {
  const mounted = app as unknown as AppWithRouter;
  const stack = (mounted._router ?? mounted.router)?.stack ?? [];
  const mounts = mountsOf(mounted);
  const found: string[] = [];
  const descend = (layers: readonly Layer[], prefix: string, rest: string): void => {
    for (const layer of layers) {
      if (layer.route === route) found.push(...mounts.map((mount) => mount + prefix));
      const inner = layer.route ? undefined : layer.handle?.stack;
      if (!inner || prefix.split('/').length > MAX_DEPTH) continue;
      for (const { template, length } of layerPaths(layer, rest))
        descend(inner, prefix + template, rest.slice(length));
    }
  };
  descend(stack, '', baseUrl);
  if (found.length > 0) return found;
  return [baseUrl === '' ? '' : UNKNOWN_PREFIX];
}

/** Where the app itself is mounted in its parents. */
function mountsOf({ parent, mountpath }: AppWithRouter): readonly string[] {
  if (!parent) return [''];
  const own = (Array.isArray(mountpath) ? mountpath : [mountpath ?? '']).map((path) =>
    path === '/' ? '' : path,
  );
  return mountsOf(parent).flatMap((outer) => own.map((path) => outer + path));
}

/** The templates of a mounted layer, and how much of the concrete prefix each takes. */
function layerPaths(layer: Layer, rest: string): { template: string; length: number }[] {
  if (layer.slash || layer.regexp?.fast_slash) return [{ template: '', length: 0 }];
  if (layer.rawPath !== undefined) {
    const paths = Array.isArray(layer.rawPath) ? layer.rawPath : [layer.rawPath];
    return paths.map((path) => ({ template: withoutSlash(pathText(path)), length: 0 }));
  }
  if (layer.regexp)
    return expressFourTemplates(layer.regexp, layer.keys ?? []).map((template) => ({ template, length: 0 }));
  // Express 5 before router 2.3 forgets the path; its compiled matchers still tell which part of the URL is which parameter.
  for (const matcher of layer.matchers ?? []) {
    const match = matcher(rest);
    if (!match) continue;
    // What a RegExp has matched can be anything.
    const template = matcher.name === 'regexpMatcher' ? UNKNOWN_PREFIX : withNames(match.path, match.params);
    return [{ template, length: match.path.length }];
  }
  return [];
}

/** A parameter as Express 4 compiles it, with the slash before it and the mark of an optional one after it. */
const COMPILED_PARAM = /\(\?:(\\\/)?\((?:\[\^\\?\/\]\+\?|\(\?:\(\?!.*?\)\.\)\+\?)\)\)(\?)?/g;

/** Turns what Express 4 compiles a path, or several, to back into them; a RegExp that somebody gave stays one. */
function expressFourTemplates(regexp: RegExp, keys: readonly { name: string | number }[]): readonly string[] {
  const names = keys.map(({ name }) => name).filter((name) => typeof name === 'string');
  const paths = regexp.source.split('|^').map((source) =>
    source
      .replace(/^\^/, '')
      .replace(/\\\/\?\(\?=\\\/\|\$\)$/, '')
      .replace(COMPILED_PARAM, (_, slash: string | undefined, optional = '') => {
        return `${slash ? '/' : ''}:${names.shift() ?? 'param'}${optional}`;
      })
      .replaceAll('(.*)', '*')
      .replaceAll('\\/', '/')
      .replace(/\\([.\-+])/g, '$1'),
  );
  return paths.some((path) => /[\\^$+()[\]{}|]/.test(path)) ? [String(regexp)] : paths;
}

/** Puts parameters' names in place of their values, from the right: static parts that look alike stand left of them. */
function withNames(path: string, params: Record<string, unknown>): string {
  const segments = path.split('/');
  for (const [name, value] of Object.entries(params).reverse()) {
    const values = (Array.isArray(value) ? value : [value]).map(String);
    const at = segments.findLastIndex((segment) => decoded(segment) === values.at(-1));
    if (at < 0) return UNKNOWN_PREFIX;
    segments.splice(at - values.length + 1, values.length, `:${name}`);
  }
  // The rest is as it was written in this URL, in any case.
  const parts = segments.map((segment) => (segment.startsWith(':') ? segment : segment.toLowerCase()));
  return withoutSlash(parts.join('/'));
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** A route's path as text: alternatives are joined, a RegExp is shown as it is written. */
function pathText(path: unknown): string {
  if (Array.isArray(path)) return path.map(pathText).join('|');
  return typeof path === 'string' ? path : path instanceof RegExp ? String(path) : '';
}

function withoutSlash(path: string): string {
  return path.endsWith('/') ? path.slice(0, -1) : path;
}
