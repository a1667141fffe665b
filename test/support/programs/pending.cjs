// Makes things that stay pending, each from a function of its own, and answers commands on stdin with a line each. Prints the
// index page's URL. argv[2]: the configuration as JSON.
const { execFileSync } = require('node:child_process');
const { randomUUID } = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { createInterface } = require('node:readline');
const { runInThisContext } = require('node:vm');
const { Worker } = require('node:worker_threads');
const { measureWait, Profiler } = require('@loopprof/core');

const profiler = new Profiler({ httpAddr: 'localhost:0', ...JSON.parse(process.argv[2] ?? '{}') });
const timers = [];
let fifo;

function pendingReads(count) {
  const path = join(tmpdir(), `loopprof-${randomUUID()}`);
  execFileSync('mkfifo', [path]);
  fifo = fs.openSync(path, 'r+');
  fs.unlinkSync(path);
  for (let n = 0; n < count; n++) fs.read(fifo, Buffer.alloc(1), 0, 1, null, () => {});
}
function pendingTimers(count) {
  for (let n = 0; n < count; n++) timers.push(setTimeout(() => {}, 1e8));
}
function backgroundTimers(count) {
  for (let n = 0; n < count; n++) timers.push(setTimeout(() => {}, 1e8).unref());
}
function openSocket(port, onConnect) {
  net.connect(port, '127.0.0.1', onConnect);
}
async function openSockets(count) {
  // A server that says nothing, in a process of its own: its ends of the connections are not ours.
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads');
     const server = require('node:net').createServer(() => {}).listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));`,
    { eval: true, name: 'silent server' },
  );
  const port = await new Promise((resolve) => worker.once('message', resolve));
  worker.unref();
  let connected = 0;
  const onConnect = () => (connected += 1);
  for (let n = 0; n < count; n++) openSocket(port, onConnect);
  while (connected < count) await new Promise((resolve) => setTimeout(resolve, 10));
}
async function askSilentServer(count) {
  const server = http.createServer(() => {}).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  for (let n = 0; n < count; n++) http.get({ port, host: '127.0.0.1', agent: false }).on('error', () => {});
  for (let n = 0; n < count; n++) fetch(`http://127.0.0.1:${port}/`).catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 300));
}
async function forgottenAwait() {
  await new Promise(() => {});
}
function forgetEverywhere(count) {
  const makers = 'async () => { await new Promise(() => {}); },\n'.repeat(count);
  for (const make of runInThisContext(`[${makers}]`, { filename: '/scattered.js' })) make();
}
const held = [];
async function heldAwait() {
  await new Promise((resolve) => held.push(resolve));
}
async function settledAwait() {
  await new Promise((resolve) => setTimeout(resolve, 10));
}

let lock = Promise.resolve();
async function waitForLock() {
  const before = lock;
  let release;
  lock = new Promise((resolve) => (release = resolve));
  await measureWait('lock', () => before);
  setTimeout(release, 20);
}

function blockLoop(durationMs) {
  const startedMs = performance.now();
  while (performance.now() - startedMs < durationMs);
}

// What the main thread has used of a CPU, not the time that the machine gave to others; to the scheduler's tick, some 4 ms.
const cpuMs = () => Number(fs.readFileSync('/proc/self/schedstat', 'utf8').split(' ')[0]) / 1e6;
let longestTurnMs = 0;
function watchTurns() {
  let lastMs = cpuMs();
  const turn = () => {
    const nowMs = cpuMs();
    longestTurnMs = Math.max(longestTurnMs, nowMs - lastMs);
    lastMs = nowMs;
    setImmediate(turn);
  };
  turn();
}
function takeLongestTurn() {
  const taken = longestTurnMs;
  longestTurnMs = 0;
  return taken;
}

const { wait } = Atomics;

const commands = {
  // Node marks promises only while somebody is told of them.
  hooked: () => Object.getOwnPropertySymbols(Promise.resolve()).length > 0 || Atomics.wait !== wait,
  lock: (count) => Promise.all(Array.from({ length: count }, waitForLock)),
  turns: watchTurns,
  longest: takeLongestTurn,
  block: blockLoop,
  reads: pendingReads,
  release: (count) => fs.writeSync(fifo, Buffer.alloc(count)),
  timers: pendingTimers,
  background: backgroundTimers,
  clear: () => timers.splice(0).forEach(clearTimeout),
  sockets: openSockets,
  requests: askSilentServer,
  forget: (count) => void Array.from({ length: count }, forgottenAwait),
  scatter: forgetEverywhere,
  hold: (count) => void Array.from({ length: count }, heldAwait),
  settle: (count) => Promise.all(Array.from({ length: count }, settledAwait)),
};

profiler.start().then(() => {
  console.log(profiler.address);
  createInterface({ input: process.stdin }).on('line', async (line) => {
    const [name, count] = line.split(' ');
    const result = await commands[name](Number(count));
    console.log(`did ${line}${['boolean', 'number'].includes(typeof result) ? `: ${result}` : ''}`);
  });
});
