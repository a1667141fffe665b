import { findSourceMap } from 'node:module';
import type { SourceMap } from './source-maps.js';

/** The map that a loader has registered for a script; without `map` where that is too large. */
export interface RegisteredMap {
  readonly sizeBytes: number;
  readonly map?: SourceMap;
}

/** What is handed over at once, to another thread. */
const MAX_BYTES = 8 * 1024 * 1024;

/**
 * The maps of these scripts that loaders which compile in memory (tsx, ts-node) have registered with Node, on this thread: the file
 * on disk is the original there. There may be fewer than were asked for, since all together have a limit: the others are to be asked
 * for again. Node itself decodes each that is looked at, so `breathe` is awaited after it. Never rejects.
 */
export async function registeredMaps(
  files: readonly string[],
  breathe: () => Promise<void>,
): Promise<(RegisteredMap | undefined)[]> {
  const maps: (RegisteredMap | undefined)[] = [];
  let leftBytes = MAX_BYTES;
  for (const file of files) {
    const found = registeredMap(file);
    if (found) leftBytes -= found.map ? found.sizeBytes : 0;
    if (leftBytes < 0) break;
    maps.push(found);
    if (found) await breathe();
  }
  return maps;
}

function registeredMap(file: string): RegisteredMap | undefined {
  try {
    // Jest's stand-in for node:module has no findSourceMap.
    const payload = typeof findSourceMap === 'function' ? findSourceMap(file)?.payload : undefined;
    if (!payload) return undefined;
    const { sources, sourceRoot, mappings, sections } = payload as SourceMap;
    const sizeBytes =
      (mappings ?? '').length +
      (sections ?? []).reduce((sum, { map }) => sum + (map.mappings ?? '').length, 0);
    const map = {
      ...partOf({ sources, sourceRoot, mappings }),
      ...(sections
        ? { sections: sections.map(({ offset, map: part }) => ({ offset, map: partOf(part) })) }
        : {}),
    };
    return sizeBytes > MAX_BYTES ? { sizeBytes } : { sizeBytes, map };
  } catch {
    return undefined;
  }
}

/** Without the text of the sources, and what else nobody reads here. */
function partOf({ sources, sourceRoot, mappings }: SourceMap): SourceMap {
  return { sources, sourceRoot, mappings };
}
