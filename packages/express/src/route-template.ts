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

const prefixesByApp = new WeakMap<object, WeakMap<object, readonly string[]>>();

/** The template of the route that `req` has just reached. */
export function routeTemplate(req: Request, route: { path?: unknown }): string {
  let prefixesByRoute = prefixesByApp.get(req.app);
  if (!prefixesByRoute)
    prefixesByApp.set(req.app, (prefixesByRoute = new WeakMap<object, readonly string[]>()));
  let prefixes = prefixesByRoute.get(route);
  // A router may be mounted once more after its first request.
  const [only = ''] = prefixes ?? [];
  if (!prefixes || (prefixes.length === 1 && !/[:*/^]./.test(only.slice(1)) && only !== req.baseUrl)) {
    prefixes = prefixesOf(req.app, route, req.baseUrl);
    prefixesByRoute.set(route, prefixes);
  }
  const own = pathText(route.path);
  const prefix = prefixes.length === 1 ? (prefixes[0] as string) : prefixFor(prefixes, req.baseUrl);
  return prefix !== '' && own === '/' ? prefix : prefix + own;
}

/** All ways to reach the route from the outermost app, as templates of what stands before it. */
function prefixesOf(app: Application, route: object, baseUrl: string): readonly string[] {
  const mounted = app as unknown as AppWithRouter;
  const stack = (mounted._router ?? mounted.router)?.stack ?? [];
  const mounts = mountsOf(mounted);
  const found: string[] = [];
  const search = (layers: readonly Layer[], prefix: string, rest: string): void => {
    for (const layer of layers) {
      if (layer.route === route) found.push(...mounts.map((mount) => mount + prefix));
      const inner = layer.route ? undefined : layer.handle?.stack;
      if (!inner || prefix.split('/').length > MAX_DEPTH) continue;
      for (const { template, length } of layerPaths(layer, rest))
        search(inner, prefix + template, rest.slice(length));
    }
  };
  search(stack, '', baseUrl);
  if (found.length > 0) return [...new Set(found)];
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
  if (layer.regexp) return [{ template: expressFourTemplate(layer.regexp, layer.keys ?? []), length: 0 }];
  // Express 5 before router 2.3 forgets the path; its compiled matchers still tell which part of the URL is which parameter.
  for (const matcher of layer.matchers ?? []) {
    const match = matcher(rest);
    if (match) return [{ template: withNames(match.path, match.params), length: match.path.length }];
  }
  return [];
}

/** A parameter as Express 4 compiles it, with the slash before it and the mark of an optional one after it. */
const COMPILED_PARAM = /\(\?:(\\\/)?\((?:\[\^\\?\/\]\+\?|\(\?:\(\?!.*?\)\.\)\+\?)\)\)(\?)?/g;

/** Turns what Express 4 compiles a path to back into the path; a RegExp that somebody gave stays one. */
function expressFourTemplate(regexp: RegExp, keys: readonly { name: string | number }[]): string {
  const names = keys.map(({ name }) => name).filter((name) => typeof name === 'string');
  const path = regexp.source
    .replace(/^\^/, '')
    .replace(/\\\/\?\(\?=\\\/\|\$\)$/, '')
    .replace(COMPILED_PARAM, (_, slash: string | undefined, optional = '') => {
      return `${slash ? '/' : ''}:${names.shift() ?? 'param'}${optional}`;
    })
    .replaceAll('(.*)', '*')
    .replaceAll('\\/', '/')
    .replace(/\\([.\-+])/g, '$1');
  return /[\\^$+()[\]{}|]/.test(path) ? String(regexp) : path;
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
  return withoutSlash(segments.join('/'));
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** Of several mounts of one router, the one that the URL went through. */
function prefixFor(prefixes: readonly string[], baseUrl: string): string {
  const segments = baseUrl.split('/');
  const fits = (prefix: string): boolean => {
    const parts = prefix.split('/');
    return (
      parts.length === segments.length &&
      parts.every((part, at) => part.includes(':') || part === segments[at])
    );
  };
  return prefixes.find(fits) ?? UNKNOWN_PREFIX;
}

/** A route's path as text: alternatives are joined, a RegExp is shown as it is written. */
function pathText(path: unknown): string {
  if (Array.isArray(path)) return path.map(pathText).join('|');
  return typeof path === 'string' ? path : path instanceof RegExp ? String(path) : '';
}

function withoutSlash(path: string): string {
  return path.endsWith('/') ? path.slice(0, -1) : path;
}
