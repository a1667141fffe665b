// The program that the compiler works on, for ever: small files of many kinds of TypeScript, so that the compiler's stacks
// are as many and as different as in real work. Fixed here, so that figures of different days are about the same work.

/** What `noLib` takes away and the files below need; the real lib.d.ts would make every turn of the loop ten times as long. */
export const lib = `
interface Object { toString(): string }
interface Function { call(self: any, ...args: any[]): any }
interface CallableFunction extends Function {}
interface NewableFunction extends Function {}
interface IArguments { length: number }
interface String { length: number; slice(from: number, to?: number): string; split(by: string): string[]; trim(): string }
interface Number { toFixed(digits?: number): string }
interface Boolean {}
interface RegExp { test(text: string): boolean }
interface Symbol {}
interface SymbolConstructor { readonly iterator: unique symbol; readonly asyncIterator: unique symbol }
declare var Symbol: SymbolConstructor;
interface Array<T> {
  length: number; [index: number]: T;
  push(...items: T[]): number; join(by?: string): string; concat(...items: T[][]): T[];
  map<U>(each: (value: T, index: number) => U): U[];
  filter<S extends T>(each: (value: T) => value is S): S[]; filter(each: (value: T) => boolean): T[];
  reduce<U>(each: (sum: U, value: T) => U, start: U): U; sort(by?: (a: T, b: T) => number): this;
  [Symbol.iterator](): IterableIterator<T>;
}
interface ReadonlyArray<T> { readonly length: number; readonly [index: number]: T; [Symbol.iterator](): IterableIterator<T> }
interface IteratorResult<T> { done?: boolean; value: T }
interface Iterator<T> { next(): IteratorResult<T> }
interface Iterable<T> { [Symbol.iterator](): Iterator<T> }
interface IterableIterator<T> extends Iterator<T> { [Symbol.iterator](): IterableIterator<T> }
interface PromiseLike<T> { then<U>(done: (value: T) => U | PromiseLike<U>): PromiseLike<U> }
interface Promise<T> { then<U>(done: (value: T) => U | PromiseLike<U>): Promise<U>; finally(done: () => void): Promise<T> }
interface PromiseConstructor { new <T>(run: (done: (value: T) => void) => void): Promise<T>; all<T>(all: Promise<T>[]): Promise<T[]> }
declare var Promise: PromiseConstructor;
interface Map<K, V> { get(key: K): V | undefined; set(key: K, value: V): this; size: number; delete(key: K): boolean }
interface MapConstructor { new <K, V>(): Map<K, V> }
declare var Map: MapConstructor;
interface Error { message: string }
interface ErrorConstructor { new (message: string): Error }
declare var Error: ErrorConstructor;
interface TemplateStringsArray extends ReadonlyArray<string> {}
type Partial<T> = { [K in keyof T]?: T[K] };
type Record<K extends keyof any, V> = { [P in K]: V };
type Exclude<T, U> = T extends U ? never : T;
type Pick<T, K extends keyof T> = { [P in K]: T[P] };
type ReturnType<T extends (...args: any) => any> = T extends (...args: any) => infer R ? R : any;
`;

export const files = {
  'cache.ts': `
export interface Clock { now(): number }
export class Cache<K, V extends object> {
  readonly #entries = new Map<K, { value: V; at: number }>();
  static readonly limit = 1_000;
  constructor(private readonly clock: Clock, private readonly ttl = 60 * 1000) {}
  get size(): number { return this.#entries.size }
  get(key: K, load?: (key: K) => V): V | undefined {
    const entry = this.#entries.get(key);
    if (entry && this.clock.now() - entry.at < this.ttl) return entry.value;
    this.#entries.delete(key);
    const value = load?.(key);
    if (value !== undefined) this.#entries.set(key, { value, at: this.clock.now() });
    return value;
  }
}
const cache = new Cache<string, { id: number; tags: string[] }>({ now: () => 1 });
const tags: number = cache.get('a', (key) => ({ id: key.length, tags: [key] }))?.tags;
`,
  'shapes.ts': `
type Shape = { kind: 'circle'; r: number } | { kind: 'rect'; w: number; h: number } | { kind: 'path'; points: [number, number][] };
function area(shape: Shape): number {
  switch (shape.kind) {
    case 'circle': return 3.14159 * shape.r ** 2;
    case 'rect': return shape.w * shape.h;
    case 'path': {
      let sum = 0;
      for (let i = 0; i + 1 < shape.points.length; i++) {
        const [x1, y1] = shape.points[i], [x2, y2] = shape.points[i + 1];
        sum += x1 * y2 - x2 * y1;
      }
      return sum < 0 ? -sum / 2 : sum / 2;
    }
    default: { const never: never = shape; return never }
  }
}
const isCircle = (shape: Shape): shape is Extract2<Shape, 'circle'> => shape.kind === 'circle';
type Extract2<T, K> = T extends { kind: K } ? T : never;
export const radii = ([{ kind: 'circle', r: 2 }, { kind: 'rect', w: 1, h: 'x' }] as Shape[]).filter(isCircle).map(({ r }) => r.toFixed(1));
export const total = area({ kind: 'rect', w: 2, h: 3 }) + radii;
`,
  'queue.ts': `
export type Job<T> = () => Promise<T>;
export class Queue {
  #running = 0;
  readonly #waiting: (() => void)[] = [];
  constructor(readonly width: number) {}
  async run<T>(job: Job<T>): Promise<T> {
    if (this.#running >= this.width) await new Promise<void>((go) => { this.#waiting.push(() => go(undefined)) });
    this.#running++;
    try { return await job() } finally {
      this.#running--;
      const [next] = this.#waiting;
      next?.();
    }
  }
  async *stream<T>(jobs: Iterable<Job<T>>) { for (const job of jobs) yield await this.run(job) }
}
export async function main({ width = 2, names = ['a', 'b'] }: { width?: number; names?: string[] } = {}) {
  const queue = new Queue(width);
  const all = await Promise.all(names.map((name, index) => queue.run(async () => \`\${name}:\${index}\`)));
  return all.reduce((sum, { length }) => sum + length, '0');
}
`,
  'events.ts': `
interface Events { open: [id: number]; close: [id: number, reason?: string]; error: [Error] }
type Listener<K extends keyof Events> = (...args: Events[K]) => void;
abstract class Emitter {
  protected listeners: { [K in keyof Events]?: Listener<K>[] } = {};
  on<K extends keyof Events>(name: K, listener: Listener<K>): this {
    ((this.listeners[name] ??= []) as Listener<K>[]).push(listener);
    return this;
  }
  emit<K extends keyof Events>(name: K, ...args: Events[K]): boolean {
    const found = this.listeners[name] as Listener<K>[] | undefined;
    for (const listener of found ?? []) listener(...args);
    return !!found?.length;
  }
  abstract label(): string;
}
export class Socket extends Emitter {
  override label() { return 'socket' }
  constructor(public id: number) { super(); this.on('open', (id) => this.emit('close', id, 'done')).on('error', ({ message }) => message.trim()) }
}
new Socket(1).emit('close', 'wrong');
`,
  'parse.ts': `
const enum Kind { Number, Plus = 1 << 1, Times = 1 << 2, Open, Close }
interface Token { kind: Kind; text: string }
export function* tokens(text: string): IterableIterator<Token> {
  let rest = text;
  scan: while (rest.length > 0) {
    for (const [kind, pattern] of [[Kind.Number, /^\\d+/], [Kind.Plus, /^\\+/], [Kind.Times, /^\\*/]] as [Kind, RegExp][]) {
      if (!pattern.test(rest)) continue;
      yield { kind, text: rest.slice(0, 1) };
      rest = rest.slice(1);
      continue scan;
    }
    throw new Error('unexpected ' + rest.slice(0, 1) ?? 'end');
  }
}
type Node = { op: '+' | '*'; left: Node; right: Node } | number;
export const evaluate = (node: Node): number => typeof node === 'number' ? node : node.op === '+' ? evaluate(node.left) + evaluate(node.right) : evaluate(node.left) * evaluate(node.right);
export const result: string = evaluate({ op: '+', left: 1, right: { op: '*', left: 2, right: 3 } });
`,
  'types.ts': `
type Path<T, P extends string> = P extends \`\${infer Head}.\${infer Rest}\` ? Head extends keyof T ? Path<T[Head], Rest> : never : P extends keyof T ? T[P] : never;
interface Config { server: { host: string; port: number; tls?: { cert: string; key: string } }; log: { level: 'debug' | 'info'; targets: string[] } }
declare function get<T, const P extends string>(from: T, path: P): Path<T, P>;
declare const config: Config;
export const port = get(config, 'server.port');
export const level = get(config, 'log.level');
type Optional<T> = { [K in keyof T as undefined extends T[K] ? K : never]: T[K] };
type Deep<T> = T extends (infer U)[] ? Deep<U>[] : T extends object ? { readonly [K in keyof T]?: Deep<T[K]> } : T;
type Setters<T> = { [K in keyof T & string as \`set\${K}\`]: (value: T[K]) => void };
export const patch: Deep<Config> = { server: { port: '80' }, log: { targets: ['a'] } };
export const setters: Setters<Config['log']> = { setlevel: (value) => void value, settargets: () => {} };
export const tls: Optional<Config['server']> = {};
function overload(value: string): string[]; function overload(value: number): number; function overload(value: string | number) { return typeof value === 'string' ? value.split('') : value }
export const both = [overload('a').join(), overload(1).toFixed(), overload(true)];
`,
  'report.ts': `
namespace Money { export type Cents = number & { readonly brand: unique symbol }; export const of = (value: number) => value as Cents }
interface Row { readonly day: string; readonly amount: Money.Cents; readonly labels?: Record<string, string> }
const by = <T, K extends string>(rows: T[], key: (row: T) => K) => rows.reduce<Partial<Record<K, T[]>>>((groups, row) => { (groups[key(row)] ??= []).push(row); return groups }, {});
function tag(parts: TemplateStringsArray, ...values: unknown[]): string { return parts.length + ':' + values.map((value) => \`\${value}\`).join() }
export function report(rows: Row[], { top = 3, ...rest }: { top?: number; title?: string } = {}): string {
  const groups = by(rows, ({ day }) => day as 'mon' | 'tue');
  const lines: string[] = [];
  for (const day of ['mon', 'tue'] as const) {
    const sum = groups[day]?.reduce((sum, { amount }) => sum + amount, 0) ?? 0;
    if (sum > top && rest.title !== undefined) lines.push(tag\`\${day} \${sum.toFixed(2)}\`);
    else do { lines.push('-') } while (lines.length < 2 && !rest.title);
  }
  return lines.sort((a, b) => a.length - b.length).join('\\n') satisfies string;
}
export const bad: number = report([{ day: 'mon', amount: Money.of(100), extra: 1 }]);
`,
};
