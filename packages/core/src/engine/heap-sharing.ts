/**
 * V8 has one heap sampler per thread, for whoever asks: starting it again does nothing, and whoever stops it stops it for all. So
 * one that runs already is read and left running, and so is ours once somebody else may have come to share it.
 */
import { neighbour } from './neighbours.js';
import { OwnSession, type Inspector } from './own-session.js';

/** Whether somebody has started it. Asked of the inspector, which knows it of all; where there is none, nobody has. */
export function heapSamplerRuns(session?: OwnSession): boolean {
  let own = session;
  try {
    own ??= new OwnSession(require('node:inspector') as Inspector);
    own.post('HeapProfiler.getSamplingProfile');
    return true;
  } catch {
    return false;
  } finally {
    if (!session) own?.close();
  }
}

/** Whether what we have started is still only ours. */
export function mayStopHeapSampler(): boolean {
  return neighbour() === undefined;
}
