import { mkdtempSync } from 'node:fs';
import { resolve } from 'node:path';

/** A new folder, which goes with the run of Jest that it was made in. */
export function newFolder(): string {
  return mkdtempSync(resolve('folder-'));
}
