import type { JsonDocument } from './document.js';
import { createPacer } from './pacer.js';
import type { ProfileSources } from './sources.js';

/** The stack that blocks the event loop at this moment. */
export function stackDocument(sources: ProfileSources): JsonDocument {
  return {
    name: 'stack',
    description:
      'The JavaScript stack that runs right now, if it has been blocking the event loop; asked for on the standalone address it answers meanwhile. As JSON.',
    offThread: true,
    read: async () => {
      const stack = await sources.stack();
      const shown = stack && (await sources.symbolizer.symbolize([stack], createPacer()));
      return { blocked: sources.blocked(), stack: shown?.stacks[0] ?? [] };
    },
  };
}
