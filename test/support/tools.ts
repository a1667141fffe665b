import { accessSync, constants } from 'node:fs';
import path from 'node:path';

const known: Record<string, { install: string; names?: string[] }> = {
  go: { install: 'apt-get install golang-go, or https://go.dev/dl' },
  dot: { install: 'apt-get install graphviz' },
  nginx: { install: 'apt-get install nginx-light' },
  chromium: { install: 'apt-get install chromium', names: ['chromium', 'chromium-browser', 'google-chrome'] },
};

/** Where an outside tool lies, if it is on the PATH. */
export function toolPath(tool: string): string | undefined {
  // Servers are installed where only root's PATH looks.
  const folders = [...(process.env['PATH'] ?? '').split(path.delimiter), '/usr/sbin'].filter(Boolean);
  const endings = process.platform === 'win32' ? ['.exe', '.cmd'] : [''];
  const names = known[tool]?.names ?? [tool];
  return names
    .flatMap((name) => folders.flatMap((folder) => endings.map((ending) => path.join(folder, name + ending))))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

export function hasTool(tool: string): boolean {
  return toolPath(tool) !== undefined;
}

/** A `describe` whose tests need an outside tool. Without the tool it is skipped with one line, and fails where CI is set. */
export function describeWith(tool: string, name: string, fn: () => void): void {
  if (hasTool(tool)) return describe(name, fn);

  const reason = `"${tool}" is not on the PATH (${known[tool]?.install ?? 'install it, and put it there'})`;
  if (process.env['CI']) {
    return describe(name, () => {
      test(`needs ${tool}`, () => {
        throw new Error(`${reason}; CI has to have what the tests use`);
      });
    });
  }
  // Past Jest's console, which would put a stack trace around the one line.
  process.stderr.write(`skipped: ${name}: ${reason}\n`);
  describe.skip(name, fn);
}
