import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import path from 'node:path';

interface Tool {
  install: string;
  names?: string[];
  /** What makes it ready, where its first use takes longer than a test may. */
  prepare?: string[];
}

const known: Record<string, Tool> = {
  go: {
    install: 'apt-get install golang-go, or https://go.dev/dl',
    // From Go 1.25 on, pprof comes as source and is compiled when it is first used.
    prepare: ['tool', 'pprof', '-h'],
  },
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

/** Compiling takes a minute on an idle machine. */
const LONGEST_PREPARATION_MS = 600_000;

/** Whatever it answers: should it not work, the tests say so. */
function prepare(tool: string, args: readonly string[]): Promise<void> {
  const options = { timeout: LONGEST_PREPARATION_MS, env: { ...process.env, GOTOOLCHAIN: 'local' } };
  return new Promise((done) => execFile(toolPath(tool) ?? tool, args, options, () => done()));
}

export function hasTool(tool: string): boolean {
  return toolPath(tool) !== undefined;
}

/** A `describe` whose tests need an outside tool. Without the tool it is skipped with one line, and fails where CI is set. */
export function describeWith(tool: string, name: string, fn: () => void): void {
  const preparation = known[tool]?.prepare;
  if (hasTool(tool)) {
    return describe(name, () => {
      if (preparation) beforeAll(() => prepare(tool, preparation), LONGEST_PREPARATION_MS);
      fn();
    });
  }

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
