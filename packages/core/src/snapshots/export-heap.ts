/**
 * A program of its own, run by a process whose heap is exhausted and which waits for its end: writes the heap profile of that process as
 * a snapshot. Arguments: ExportInput as JSON, and the path of what the engine has exported.
 */
import { readFile } from 'node:fs/promises';
import { messageOf } from '../errors.js';
import { silentLogger } from '../logger.js';
import { encodeHeapExport } from '../profiles/heap.js';
import { keepAlive } from './abort.js';
import { PROFILE_PARTS } from './contents.js';
import type { ExportInput } from './out-of-memory.js';
import { writeSnapshot, type Snapshot } from './snapshot.js';
import { SnapshotStore } from './store.js';

/** Somebody is waiting to die. */
const LONGEST_RUN_MS = 20_000;

async function exportHeap(input: ExportInput, file: string): Promise<Snapshot> {
  const { directory, limits, facts, toldAtMs, heapLimitBytes } = input;
  const takenAtMs = Date.now();
  const data = await encodeHeapExport(await readFile(file, 'utf8'), input);
  const store = new SnapshotStore({ directory, limits, logger: silentLogger });
  return writeSnapshot(store, {
    reason: 'out-of-memory',
    triggers: [{ on: 'outOfMemory', values: { heapLimitBytes }, heldBackBefore: 0 }],
    takenAtMs,
    window: { fromMicros: takenAtMs * 1000, toMicros: takenAtMs * 1000 },
    contents: {
      parts: [{ name: 'memory', file: PROFILE_PARTS.memory.file, data, notes: [] }],
      missing: {},
    },
    facts: { ...facts, uptimeMs: facts.uptimeMs + takenAtMs - toldAtMs },
  });
}

setTimeout(() => process.exit(1), LONGEST_RUN_MS).unref();
const [, , input = '{}', file = ''] = process.argv;
keepAlive(exportHeap(JSON.parse(input) as ExportInput, file)).then(
  // Beside the lines that V8 prints about the end of the process.
  ({ directory }) => process.stderr.write(`loopprof: out of memory, heap profile written: ${directory}\n`),
  (error: unknown) => {
    process.stderr.write(`loopprof: out of memory, no heap profile: ${messageOf(error)}\n`);
    process.exitCode = 1;
  },
);
