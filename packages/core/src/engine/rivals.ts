/**
 * The addon has one profiler per thread and loaded copy: a second start throws, and may end the host's process with it; and one that
 * another copy starts after us gets no samples. So whoever comes second is let through the native class's own door, and we hear of it
 * in time to make room.
 */
import { mainProcess, mainRealmRequire } from '../realm.js';

/** The native class of one copy. */
export interface RivalClass {
  readonly prototype: { start: (this: object) => void };
}

export interface RivalOptions {
  readonly ours: object;
  /** Called when somebody else is about to start a profiler. */
  readonly onRival: () => void;
}

/** Watches all copies that are loaded or will be; gives a function that ends the watch. */
export function watchForRivals(own: RivalClass, options: RivalOptions): () => void {
  const unwatch = new Map<RivalClass, () => void>();
  // It is other people's modules that are looked into, while they load them: what those do then is not theirs to hear of.
  const watch = (exported: unknown): void => {
    try {
      const copy = copyIn(exported);
      if (copy && !unwatch.has(copy)) unwatch.set(copy, watchCopy(copy, options));
    } catch {
      // Frozen, or with a getter that throws.
    }
  };
  for (const exported of [{ TimeProfiler: own }, ...loadedAddons()]) watch(exported);
  const unwatchLoading = watchLoading(watch);
  return () => {
    unwatchLoading();
    for (const end of unwatch.values()) end();
  };
}

function watchCopy({ prototype }: RivalClass, { ours, onRival }: RivalOptions): () => void {
  const { start } = prototype;
  const watched = function (this: object): void {
    if (this !== ours) onRival();
    start.call(this);
  };
  prototype.start = watched;
  return () => {
    if (prototype.start === watched) prototype.start = start;
  };
}

function loadedAddons(): unknown[] {
  const loaded = Object.entries(mainRealmRequire(__filename).cache);
  return loaded.flatMap(([file, module]) => (file.endsWith('.node') ? [module?.exports as unknown] : []));
}

/** Tells of every addon that is loaded, when that is done. */
function watchLoading(onLoaded: (exported: unknown) => void): () => void {
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called on whoever it was called on
  const dlopen = mainProcess.dlopen as (this: unknown, ...args: unknown[]) => unknown;
  let watching = true;
  const watched = function (this: unknown, ...args: unknown[]): unknown {
    const result = dlopen.apply(this, args);
    if (watching) onLoaded((args[0] as NodeJS.Module | undefined)?.exports);
    return result;
  };
  try {
    mainProcess.dlopen = watched;
  } catch {
    // Somebody has frozen it.
  }
  return () => {
    watching = false;
    // Somebody else may have put theirs in its place meanwhile: then ours stays below it, and only passes on.
    if (mainProcess.dlopen === watched) mainProcess.dlopen = dlopen;
  };
}

function copyIn(exported: unknown): RivalClass | undefined {
  const { TimeProfiler } = (exported ?? {}) as { TimeProfiler?: Partial<RivalClass> };
  return typeof TimeProfiler?.prototype?.start === 'function' ? (TimeProfiler as RivalClass) : undefined;
}
