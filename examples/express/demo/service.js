'use strict';

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const readline = require('node:readline');

const folder = path.join(__dirname, '..');
const startTimeoutMs = 15_000;

// Resolves once the service has said where it listens. `failed` rejects if it ends before stop() is called.
async function startService() {
  const child = spawn(process.execPath, [path.join(folder, 'src', 'server.js')], {
    cwd: folder,
    // Mounted profiling routes are closed in production unless `access` is written out.
    env: { ...process.env, PORT: '0', NODE_ENV: 'development' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  // The last resort: whichever way this process ends, the service does not outlive it.
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);

  let stopping = false;
  const failed = once(child, 'exit').then(([code, signal]) => {
    if (!stopping) throw new Error(`the service ended by itself (${signal ?? `exit code ${code}`})`);
  });
  failed.catch(() => {});

  async function stop() {
    stopping = true;
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill();
      await exited;
    }
    process.removeListener('exit', kill);
  }

  try {
    const port = await Promise.race([readPort(child.stdout), failed, startTimeout()]);
    // The address in place of the name: where localhost means ::1 first, not every client falls back.
    return { url: `http://127.0.0.1:${port}`, pid: child.pid, failed, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function readPort(stdout) {
  return new Promise((resolve) => {
    // Reading goes on after the port is known: a service with a full pipe would block on its next line.
    readline.createInterface({ input: stdout }).on('line', (line) => {
      const match = /listening on \S+:(\d+)/.exec(line);
      if (match) resolve(Number(match[1]));
    });
  });
}

function startTimeout() {
  return new Promise((_, reject) => {
    const giveUp = () => reject(new Error(`the service did not listen within ${startTimeoutMs / 1000} s`));
    setTimeout(giveUp, startTimeoutMs).unref();
  });
}

module.exports = { startService };
