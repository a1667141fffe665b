// Holds a cache of 40 MB whose entries it replaces all the time, beside what it drops at once, and prints a line of JSON for every
// snapshot and every line of the log. argv[2]: profileDir; argv[3]: 'grows', to hold four times as much when the rule heapGrowth can
// tell, and twice as much again, or 'steady'.
const { once } = require('node:events');
const { PerformanceObserver } = require('node:perf_hooks');
const { setTimeout: sleep } = require('node:timers/promises');
const { Profiler } = require('@loopprof/core');

const [, , profileDir, how] = process.argv;
const OVER_MS = 15_000;

const print = (line) => console.log(JSON.stringify(line));
let heldBack;
const isHeldBack = new Promise((resolve) => (heldBack = resolve));
const at = (level) => (_details, message) => {
  print({ level, message });
  if (message.includes('heapGrowth holds (')) heldBack();
};
const logger = { debug: () => {}, info: at('info'), warn: at('warn'), error: at('error') };

let collections = 0;
new PerformanceObserver((list) => {
  for (const { detail } of list.getEntries()) if (detail.kind === 4) collections += 1;
}).observe({ entryTypes: ['gc'] });

// 126 doubles of 8 bytes and two headers: 1 KiB.
const record = (n) => new Array(126).fill(n + 0.5);
const cache = new Array(40 * 1024);
const kept = [];
let dropped = 0;

/** In pieces, so that what is allocated is no stall. */
async function keepRecords(megabytes) {
  for (let piece = 0; piece < megabytes; piece++) {
    for (let n = 0; n < 1024; n++) kept.push(record(n));
    await new Promise(setImmediate);
  }
}

/** In MB a second, that have become old when they are dropped, and as much that has not. */
const REPLACED = how === 'grows' ? 120 : 80;

function replaceRecords() {
  for (let n = 0; n < REPLACED * 20; n++) {
    cache[Math.floor(Math.random() * cache.length)] = record(n);
    dropped += record(n).length;
  }
}

async function main() {
  const profiler = new Profiler(
    {
      enableHTTP: false,
      writeOnStop: false,
      profileDir,
      hangThresholdMs: 600_000,
      triggers: [
        { on: 'heapGrowth', timesAverageAbove: 1.5, overMs: OVER_MS },
        { on: 'heap', shareAbove: 0.9 },
        { on: 'rss', shareAbove: 0.99 },
        { on: 'stall', longerThanMs: 60_000 },
        { on: 'highLoad', utilizationAbove: 0.99, forMs: 60_000 },
        { on: 'latency', p99AboveMs: 1 },
        { on: 'errors', shareAbove: 0.01 },
        { on: 'interval', everyMs: 3_600_000 },
        { on: 'signal', signal: 'SIGUSR2' },
      ],
    },
    logger,
  );
  profiler.on('snapshot', (snapshot) => print({ snapshot }));
  await profiler.start();
  // It starts with next to nothing, and that it then fills its heap is no growth.
  await sleep(1000);
  for (let n = 0; n < cache.length; n++) cache[n] = record(n);
  const replacing = setInterval(replaceRecords, 20);
  await sleep(OVER_MS + 2000);
  print({ collections });
  if (how === 'grows') {
    await Promise.all([once(profiler, 'snapshot'), keepRecords(120)]);
    await Promise.all([isHeldBack, keepRecords(160)]);
  } else {
    const before = collections;
    await sleep(OVER_MS);
    while (collections < before + 3) await sleep(100);
  }
  print({ collections, dropped });
  clearInterval(replacing);
  await profiler.stop();
}
main();
