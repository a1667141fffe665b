/** The stacks of what async_hooks tells about. */
import { isOwnCode, isUserCode, type Callee, type CallSites } from './call-sites.js';
import type { Frame } from './frames.js';

/** What lies between a hook and the code that it is told of. */
const HOOK_URL = 'node:internal/async_hooks';

/** The stack of the code of which `hook` is told, leaf first. */
export function takeAboveHook(callSites: CallSites, hook: Callee): readonly Frame[] {
  const frames = callSites.take(hook);
  const first = frames.findIndex(({ url }) => url !== HOOK_URL);
  return frames.slice(Math.max(0, first));
}

/**
 * What is shown of a stack: the app's code, and of Node's own the one function that it called. Where only Node's code ran, in a
 * step of something longer, it is shown where that was created. Undefined for what we create ourselves.
 */
export function shownFrames(
  frames: readonly Frame[],
  parent: readonly Frame[] | undefined,
): readonly Frame[] | undefined {
  const user = frames.findIndex(isUserCode);
  if (user < 0) return parent ?? frames;
  if (isOwnCode(frames[user] as Frame)) return undefined;
  return frames.slice(Math.max(0, user - 1));
}
