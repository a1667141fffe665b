/** The line of a hang on stderr, whatever that is: one that is full and that nobody reads holds up neither stop() nor the end. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PROGRAMS } from '../support/child.js';
import { newFolder } from '../support/folder.js';
import { hasTool } from '../support/tools.js';

const PROGRAM = join(PROGRAMS, 'hanging.cjs');

/** Runs its arguments with a terminal as stderr; prints what got there, which is read at the end. */
const IN_TERMINAL = `
import os, pty, subprocess, sys, tty
master, terminal = pty.openpty()
tty.setraw(terminal)
code = subprocess.call(sys.argv[1:], stderr=terminal)
os.set_blocking(master, False)
print(os.read(master, 1 << 20).decode(errors='replace').replace('\\0', ''))
sys.exit(code)
`;

/** Far more than it takes, and no more than a test may. */
const LONGEST_RUN_MS = 60_000;

type Stderr = 'pipe' | number;

const run = (stderr: Stderr, args: readonly string[]): ChildProcess =>
  spawn(process.execPath, [PROGRAM, ...args], {
    stdio: ['ignore', 'pipe', stderr],
    env: { ...process.env, NODE_OPTIONS: '' },
  });

/** Its exit code and what it has said, when it has ended; nobody reads its stderr. */
async function ended(child: ChildProcess): Promise<{ code: number | null; stdout: string }> {
  const killer = setTimeout(() => child.kill('SIGKILL'), LONGEST_RUN_MS);
  let stdout = '';
  child.stdout?.on('data', (chunk) => (stdout += String(chunk)));
  const [code] = (await once(child, 'exit')) as [number | null];
  clearTimeout(killer);
  return { code, stdout };
}

/** Gives a pipe of which both ends are open here. */
async function throughFifo<T>(use: (fifo: number) => Promise<T>): Promise<T> {
  const path = join(newFolder(), 'fifo');
  execFileSync('mkfifo', [path]);
  const fifo = openSync(path, 'r+');
  try {
    return await use(fifo);
  } finally {
    closeSync(fifo);
  }
}

const reportsIn = (profileDir: string): string[] =>
  readdirSync(profileDir).map((name) => readFileSync(join(profileDir, name), 'utf8'));

function expectLine(text: string, profileDir: string): void {
  expect(JSON.parse(text.trim())).toMatchObject({
    event: 'loopprof.hang',
    kind: 'javascript',
    file: join(profileDir, readdirSync(profileDir)[0] as string),
  });
  expect(text).toContain('hangHere');
}

describe.each(['is read', 'is full'])('a stderr that %s', (state) => {
  const how = state === 'is full' ? ['full'] : [];

  it.concurrent('and is a socket, as Node gives its children', async () => {
    const profileDir = newFolder();
    const child = run('pipe', [profileDir, ...how]);
    let stderr = '';
    if (how.length === 0) child.stderr?.on('data', (chunk) => (stderr += String(chunk)));
    expect(await ended(child)).toEqual({ code: 0, stdout: 'stopped\n' });
    if (how.length === 0) {
      while (!stderr.includes('\n')) await sleep(20);
      expectLine(stderr, profileDir);
    }
    child.stderr?.destroy();
    expect(reportsIn(profileDir)).toEqual([expect.stringContaining('hangHere')]);
  });

  it.concurrent('and is a pipe, as a shell gives', async () => {
    const profileDir = newFolder();
    await throughFifo(async (fifo) => {
      expect(await ended(run(fifo, [profileDir, ...how]))).toEqual({ code: 0, stdout: 'stopped\n' });
      if (how.length > 0) return;
      const buffer = Buffer.alloc(65_536);
      expectLine(buffer.toString('utf8', 0, readSync(fifo, buffer)), profileDir);
    });
    expect(reportsIn(profileDir)).toEqual([expect.stringContaining('hangHere')]);
  });

  // Not everybody has a way to a terminal.
  (hasTool('python3') ? it.concurrent : it.skip)('and is a terminal', async () => {
    const profileDir = newFolder();
    const args = ['-c', IN_TERMINAL, process.execPath, PROGRAM, profileDir, ...how];
    const child = spawn('python3', args, {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    const { code, stdout } = await ended(child);
    expect([code, stdout.split('\n')[0]]).toEqual([0, 'stopped']);
    if (how.length === 0) expectLine(stdout.slice('stopped\n'.length), profileDir);
    expect(reportsIn(profileDir)).toEqual([expect.stringContaining('hangHere')]);
  });
});
