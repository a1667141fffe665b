// An Express app with routes that hold the event loop in every way; /lasted tells for how long the last one did. Prints the
// standalone URL, then its own. First argument: a configuration as JSON, with `access: 'everybody'` for a hook that lets in everybody.
// `?until=` names a file that ends a spin early.
const { execFileSync, spawn } = require('node:child_process');
const { pbkdf2Sync } = require('node:crypto');
const { existsSync, mkdtempSync, readFileSync } = require('node:fs');
const { join } = require('node:path');
const { setFlagsFromString } = require('node:v8');
const { runInNewContext } = require('node:vm');
const express = require('express');
const { Profiler } = require('@loopprof/core');
const { profilingMiddleware } = require('@loopprof/express');

const { access, ...config } = JSON.parse(process.argv[2] ?? '{}');
const profiler = new Profiler({
  httpAddr: 'localhost:0',
  ...config,
  ...(access === 'everybody' ? { access: { authorize: () => true } } : access ? { access } : {}),
});

function spinInScript(ms, until) {
  const endsAt = performance.now() + ms;
  let sum = 0;
  let looksAt = until ? 0 : Infinity;
  while (performance.now() < endsAt) {
    for (let n = 0; n < 1000; n++) sum += Math.sqrt(n);
    if (performance.now() < looksAt) continue;
    if (existsSync(until)) break;
    // So seldom that it is none of what is seen of this function.
    looksAt = performance.now() + 50;
  }
  return sum;
}

function backtrack(ms) {
  const endsAt = performance.now() + ms;
  let tries = 0;
  // Each match takes some tens of milliseconds, all in the regular expression's own code.
  for (; performance.now() < endsAt; tries++) /^(a+)+$/.test(`${'a'.repeat(24)}b`);
  return tries;
}

function waitForNobody(ms) {
  return Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

function parseMuch() {
  const record = `{"id":12345,"name":"${'abcdefghij'.repeat(7)}"},`;
  return JSON.parse(`[${record.repeat(Math.ceil(200e6 / record.length))}{}]`).length;
}

/** Known before the route runs: between two calls somebody would be let in. */
const roundsPerMs = (() => {
  const startedAt = performance.now();
  pbkdf2Sync('password', 'salt', 100_000, 64, 'sha512');
  return 100_000 / (performance.now() - startedAt);
})();

function deriveKeys(ms) {
  return pbkdf2Sync('password', 'salt', Math.ceil(roundsPerMs * ms), 64, 'sha512').length;
}

/** Made before the route runs: waiting for a command is another way to hold the loop. */
const fifo = join(mkdtempSync('fifo-'), 'fifo');
execFileSync('mkfifo', [fifo]);

function readSlowPipe(ms) {
  spawn('sh', ['-c', `sleep ${ms / 1000}; echo late > '${fifo}'`], { stdio: 'ignore' });
  return readFileSync(fifo, 'utf8');
}

function runCommand(ms) {
  return execFileSync('sleep', [String(ms / 1000)]).length;
}

function makeGarbage(ms) {
  const endsAt = performance.now() + ms;
  const kept = Array.from({ length: 200_000 }, (_, n) => ({ n, text: [n, { n }] }));
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  // Nothing but collections of a heap with much in it.
  while (performance.now() < endsAt) collect();
  return kept.length;
}

const WAYS = {
  spin: spinInScript,
  regexp: backtrack,
  atomics: waitForNobody,
  json: parseMuch,
  pbkdf2: deriveKeys,
  fifo: readSlowPipe,
  exec: runCommand,
  garbage: makeGarbage,
};

profiler.start().then(() => {
  const app = express();
  let lastedMs;
  app.use((req, _res, next) => {
    req.beganMs = performance.now();
    next();
  });
  app.use(profilingMiddleware({ profiler, access: 'loopback' }));
  for (const [name, way] of Object.entries(WAYS)) {
    app.get(`/${name}/:ms`, (req, res) => {
      const result = way(Number(req.params.ms), req.query.until);
      res.json({ result });
      // The sidecar is let in when native code returns: what it does there is the callback's time as well.
      queueMicrotask(() => (lastedMs = performance.now() - req.beganMs));
    });
  }
  app.get('/lasted', (_req, res) => res.json({ lastedMs }));
  app.get('/quick', (_req, res) => res.send('quick'));
  const server = app.listen(0, '127.0.0.1', () => {
    console.log(`${profiler.address} http://127.0.0.1:${server.address().port}`);
  });
});
