import { nameOfScript, pseudoFrame, type Frame } from '../recorder/frames.js';

const DEEPEST_STACK = 200;

/** The JavaScript stack that runs below `callee`, leaf first, whatever the host has made of `Error`. */
export function stackBelow(callee: () => void): Frame[] {
  const { stackTraceLimit } = Error;
  const prepare = Object.getOwnPropertyDescriptor(Error, 'prepareStackTrace');
  try {
    Error.stackTraceLimit = DEEPEST_STACK;
    Error.prepareStackTrace = (_error, sites) => sites;
    const holder: { stack?: NodeJS.CallSite[] } = {};
    Error.captureStackTrace(holder, callee);
    const frames = (holder.stack ?? []).map(frameOf);
    // Above what was interrupted stands what the sidecar has evaluated.
    return frames.slice(
      Math.max(
        0,
        frames.findIndex(({ functionName, url }) => functionName !== '' || url !== ''),
      ),
    );
  } finally {
    if (prepare) Object.defineProperty(Error, 'prepareStackTrace', prepare);
    else delete (Error as { prepareStackTrace?: unknown }).prepareStackTrace;
    Error.stackTraceLimit = stackTraceLimit;
  }
}

function frameOf(site: NodeJS.CallSite): Frame {
  return {
    ...pseudoFrame(site.getFunctionName() ?? ''),
    url: nameOfScript(site.getFileName() ?? ''),
    line: site.getLineNumber() ?? 0,
    column: site.getColumnNumber() ?? 0,
  };
}
