// Hands work to libuv's pool of four threads and tells, as one line of JSON per command on stdin, when each piece was handed over
// and came back. Prints the index page's URL. argv[2]: the configuration as JSON.
const { pbkdf2 } = require('node:crypto');
const dns = require('node:dns');
const { once } = require('node:events');
const fs = require('node:fs');
const { createInterface } = require('node:readline');
const { Worker } = require('node:worker_threads');
const zlib = require('node:zlib');
const { measureWait, Profiler } = require('@loopprof/core');

const profiler = new Profiler({ httpAddr: 'localhost:0', ...JSON.parse(process.argv[2] ?? '{}') });

/** A piece of work: its call site, when it was handed over and when it came back. */
function piece(site, begin) {
  return new Promise((resolve) => {
    const submittedMs = performance.now();
    begin(() => resolve({ site, submittedMs, doneMs: performance.now() }));
  });
}
function derive(iterations, done) {
  pbkdf2('password', 'salt', iterations, 64, 'sha512', done);
}
function shortWork(done) {
  derive(40_000, done);
}
function longWork(done) {
  derive(120_000, done);
}
function burn(durationMs) {
  const startedMs = performance.now();
  while (performance.now() - startedMs < durationMs);
}

const busy = new Int32Array(new SharedArrayBuffer(4));
let others;
let lock = Promise.resolve();
function acquire() {
  let release;
  const before = lock;
  lock = new Promise((resolve) => (release = resolve));
  return before.then(() => release);
}
async function work(heldMs) {
  const release = await measureWait('lock', acquire);
  if (heldMs > 0) setTimeout(release, heldMs);
  else release();
}
function waitForNobody(timeoutMs) {
  Atomics.wait(busy, 0, 0, timeoutMs);
}

const commands = {
  // Interleaved, and all at once.
  queue: (count) =>
    Promise.all(
      Array.from({ length: count }, (_, n) =>
        n % 2 === 0 ? piece('shortWork', shortWork) : piece('longWork', longWork),
      ),
    ),
  // Never more pieces than threads.
  idle: async (count) => {
    for (let n = 0; n < count; n++) {
      await Promise.all([
        piece('derive', (done) => derive(1000, done)),
        piece('stat', (done) => fs.stat(__filename, done)),
        piece('lookup', (done) => dns.lookup('localhost', done)),
        piece('gzip', (done) => zlib.gzip('text', done)),
      ]);
    }
    return [];
  },
  // Three at a time, of different lengths, which leaves a thread.
  spare: async (count) => {
    for (let n = 0; n < count; n++)
      await Promise.all(
        [20_000, 60_000, 90_000].map((length) => piece('derive', (done) => derive(length, done))),
      );
    return [];
  },
  // A worker thread takes all of the pool until it is told to stop.
  others: async () => {
    others = new Worker(
      `const { pbkdf2 } = require('node:crypto');
       let running = true;
       const derive = () => running && pbkdf2('password', 'salt', 20_000, 64, 'sha512', derive);
       for (let n = 0; n < 8; n++) derive();
       require('node:worker_threads').parentPort.once('message', () => (running = false));`,
      { eval: true },
    );
    await once(others, 'online');
    return [];
  },
  alone: async () => {
    others.postMessage('stop');
    await once(others, 'exit');
    return [];
  },
  // Refused before they come to the pool.
  refused: async (count) => {
    const long = 'a'.repeat(300);
    await Promise.all(Array.from({ length: count }, () => piece('lookup', (done) => dns.lookup(long, done))));
    return [];
  },
  // Done long before the loop, which is busy, can see it.
  unseen: async (count) => {
    for (let n = 0; n < count; n++) {
      const pieces = [];
      for (let m = 0; m < 5; m++) {
        for (let thread = 0; thread < 2; thread++)
          pieces.push(piece('stat', (done) => fs.stat(__filename, done)));
        burn(10);
      }
      await Promise.all(pieces);
    }
    return [];
  },
  lock: async (count) => {
    for (let n = 0; n < count; n++) await work(0);
    await Promise.all(Array.from({ length: count }, () => work(500 / count)));
    return [];
  },
  atomics: (timeoutMs) => {
    waitForNobody(timeoutMs);
    return [];
  },
};

profiler.start().then(() => {
  console.log(profiler.address);
  createInterface({ input: process.stdin }).on('line', async (line) => {
    const [name, count] = line.split(' ');
    console.log(JSON.stringify(await commands[name](Number(count))));
  });
});
