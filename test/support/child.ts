/** Runs the programs under test in processes of their own, on the Node that runs the tests. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  args?: readonly string[];
  nodeArgs?: readonly string[];
  env?: NodeJS.ProcessEnv;
  cwd?: string;
}

export const PROGRAMS = join(__dirname, 'programs');

/**
 * What V8 has inlined counts as part of its caller. For `nodeArgs`, since V8 aborts the process when this flag changes while it
 * compiles on another thread.
 */
export const NOTHING_INLINED = ['--max-inlined-bytecode-size=0'];

function start(file: string, { args = [], nodeArgs = [], env = {}, cwd }: RunOptions): ChildProcess {
  return spawn(process.execPath, [...nodeArgs, file.startsWith('/') ? file : join(PROGRAMS, file), ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '', ...env },
    ...(cwd === undefined ? {} : { cwd }),
  });
}

/** No program may outlive the test that has given up on it (testTimeout in jest.config.js). */
const LONGEST_RUN_MS = 110_000;

/** Runs a program to its own end; one that does not come to it is killed. */
export async function runToEnd(file: string, options: RunOptions = {}): Promise<Exit> {
  const child = start(file, options);
  const killer = setTimeout(() => child.kill('SIGKILL'), LONGEST_RUN_MS);
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk) => (stdout += String(chunk)));
  child.stderr?.on('data', (chunk) => (stderr += String(chunk)));
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  clearTimeout(killer);
  return { code, signal, stdout, stderr };
}

export interface Service {
  /** First line the program printed. */
  line: string;
  /** The first URL in it, without a slash at its end. */
  url: string;
  child: ChildProcess;
  /** What it wrote to stderr so far. */
  stderr(): string;
  stop(): Promise<void>;
}

/** Starts a program that prints its URL and serves until it is stopped. */
export async function startService(file: string, options: RunOptions = {}): Promise<Service> {
  const child = start(file, options);
  let stderr = '';
  child.stderr?.on('data', (chunk) => (stderr += String(chunk)));
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  const line = await new Promise<string>((resolve, reject) => {
    lines.once('line', resolve);
    child.once('exit', (code, signal) =>
      reject(new Error(`${file} ended with ${code ?? signal} before it was ready:\n${stderr}`)),
    );
  });
  return {
    line,
    url: /https?:\/\/\S+/.exec(line)?.[0].replace(/\/$/, '') ?? line,
    child,
    stderr: () => stderr,
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

/** Starts such a program for what is done with it, and stops it then: for tests that run beside each other. */
export async function withService<T>(
  file: string,
  options: RunOptions,
  use: (service: Service) => Promise<T>,
): Promise<T> {
  const service = await startService(file, options);
  try {
    return await use(service);
  } finally {
    await service.stop();
  }
}
