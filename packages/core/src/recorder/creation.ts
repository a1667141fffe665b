/** The stacks of what async_hooks tells about. */
import { isOwnCode, isUserCode, type Callee, type CallSites } from './call-sites.js';
import type { Frame } from './frames.js';

/** What lies between a hook and the code that it is told of, and around callbacks while there are hooks. */
const HOOK_URL = 'node:internal/async_hooks';

/** The stack of the code of which `hook` is told, leaf first; empty where native code made something by itself. */
export function takeAboveHook(callSites: CallSites, hook: Callee): readonly Frame[] {
  return callSites.take(hook).filter(({ url }) => url !== HOOK_URL);
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
