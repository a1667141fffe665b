import { accessSync } from 'node:fs';
import { join } from 'node:path';
import type { SnapshotLimits } from '../config.js';
import type { ProcessFacts } from './manifest.js';

/** What the process that writes the profile has to be told by the one that dies. */
export interface ExportOptions {
  /** Absolute. */
  readonly directory: string;
  readonly limits: SnapshotLimits;
  /** At which V8 gives up. */
  readonly heapLimitBytes: number;
  /** Of the heap sampler. */
  readonly intervalBytes: number;
  readonly mappingFile: string;
  readonly facts: ProcessFacts;
}

/** What that process is given. */
export interface ExportInput extends ExportOptions {
  readonly toldAtMs: number;
}

const PROGRAM = join(__dirname, 'export-heap.js');

/**
 * The command to run when the heap is exhausted; the path of what the engine exports comes behind it. Throws where there is no program
 * for it: in a bundle.
 */
export function exportCommand(options: ExportOptions): string[] {
  accessSync(PROGRAM);
  const input: ExportInput = {
    ...options,
    toldAtMs: Date.now(),
  };
  // The host's NODE_OPTIONS may have it load the host's own instrumentation, or live on as little memory as the host.
  const clean = process.platform === 'win32' ? [] : ['env', 'NODE_OPTIONS='];
  return [...clean, process.execPath, PROGRAM, JSON.stringify(input)];
}
