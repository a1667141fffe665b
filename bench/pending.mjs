// What it takes to answer with 100 000 pending operations. Prints a table; asserts nothing.
//   node bench/pending.mjs [--operations 100000]
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { Profiler } from '@loopprof/core';
import { printTable } from './pause/table.mjs';

const { values } = parseArgs({ options: { operations: { type: 'string', default: '100000' } } });
const operations = Number(values.operations);
const PLACES = 200;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');
const heapBytes = () => {
  collectGarbage();
  return process.memoryUsage().heapUsed;
};

const pending = [];
const makers = Array.from({ length: PLACES }, (_, n) =>
  new Function('pending', `return function maker${n}() { pending.push(setTimeout(() => {}, 1e9)); }`)(
    pending,
  ),
);
async function create() {
  for (let n = 0; n < operations; n++) {
    makers[n % PLACES]();
    if (n % 500 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}
function clear() {
  for (const timer of pending.splice(0)) clearTimeout(timer);
}

/** Asks from another thread, so that asking does not hold up the loop that is looked at. */
const client = new Worker(
  `const { parentPort } = require('node:worker_threads');
   parentPort.on('message', async (url) => {
     const startedMs = performance.now();
     const response = await fetch(url);
     const { byteLength } = await response.arrayBuffer();
     parentPort.postMessage({ status: response.status, byteLength, tookMs: performance.now() - startedMs });
   });`,
  { eval: true },
);

/** The longest time between two turns of the loop, by the clock and by the CPU that this thread has used in it. */
class Pauses {
  clockMs = 0;
  cpuMs = 0;
  #on = true;

  constructor() {
    let clock = performance.now();
    let cpu = threadCpuMs();
    const turn = () => {
      const now = performance.now();
      const used = threadCpuMs();
      this.clockMs = Math.max(this.clockMs, now - clock);
      this.cpuMs = Math.max(this.cpuMs, used - cpu);
      [clock, cpu] = [now, used];
      if (this.#on) setImmediate(turn);
    };
    setImmediate(turn);
  }

  stop() {
    this.#on = false;
  }
}

/** Not known before Node 23.9. */
function threadCpuMs() {
  const used = process.threadCpuUsage?.();
  return used ? (used.user + used.system) / 1000 : NaN;
}

const rows = [];
async function ask(name, url) {
  const pauses = new Pauses();
  const answer = await new Promise((resolve) => {
    client.once('message', resolve);
    client.postMessage(url);
  });
  pauses.stop();
  rows.push([
    name,
    String(answer.status),
    `${(answer.byteLength / 1024).toFixed(0)} KiB`,
    `${answer.tookMs.toFixed(0)} ms`,
    `${pauses.clockMs.toFixed(1)} ms`,
    Number.isNaN(pauses.cpuMs) ? '' : `${pauses.cpuMs.toFixed(1)} ms`,
  ]);
}

await create();
const bareBytes = heapBytes();
clear();
const emptyBytes = heapBytes();

const profiler = new Profiler({ httpAddr: '127.0.0.1:0', asyncSampleRate: 1 });
await profiler.start();
await ask('nothing pending', `${profiler.address}goroutine`);
const before = heapBytes();
await create();
const recordedBytes = (heapBytes() - before - (bareBytes - emptyBytes)) / operations;
for (const path of [
  'goroutine',
  'goroutine?debug=1',
  'goroutine?debug=2',
  'goroutineleak',
  'goroutine?seconds=1',
]) {
  await ask(path, profiler.address + path);
}

console.log(
  `${operations} timers from ${PLACES} places, Node ${process.version}; ${recordedBytes.toFixed(0)} bytes more of heap for each\n`,
);
printTable(['', 'status', 'size', 'answer after', 'longest turn', 'of it CPU'], rows);
process.exit();
