import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Version of this package; undefined where it was bundled without its manifest. */
export function packageVersion(): string | undefined {
  try {
    const manifest = readFileSync(join(__dirname, '..', 'package.json'), 'utf8');
    const { name, version } = JSON.parse(manifest) as { name?: string; version?: string };
    return name === '@loopprof/core' ? version : undefined;
  } catch {
    return undefined;
  }
}
