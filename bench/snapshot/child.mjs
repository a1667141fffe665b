// One fresh process that holds a lot: argv is the contestant, MB of live heap, the number of pending operations. Takes its snapshots and
// reports the pauses of the loop meanwhile.
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeHeapSnapshot } from 'node:v8';
import { Profiler } from '@loopprof/core';
import { LoopWatch } from '../pause/loop-watch.mjs';

const [name, megabytes, operations] = process.argv.slice(2);
const SNAPSHOTS = 5;

const folder = mkdtempSync(join(tmpdir(), 'loopprof-bench-'));
const profiler = new Profiler({ enableHTTP: false, profileDir: folder, writeOnStop: false });

/** How each gets what it has to say about the process into files; gives their paths. */
const contestants = {
  nothing: async () => {
    await sleep(200);
    return [];
  },
  loopprof: async () => Object.values(await profiler.captureSnapshot()),
  writeHeapSnapshot: async () => [writeHeapSnapshot(join(folder, 'all.heapsnapshot'))],
};

const kept = [];

/** As a program has it: a few hundred places in its code that each hold records of their own shape, some KB to some MB. */
function fillHeap(bytes) {
  const places = Array.from(
    { length: 400 },
    (_, place) =>
      new Function(
        'n',
        `return { id: n, place${place}: 'record ' + n, values: [n, n + .5, ${place}], next: { n } }`,
      ),
  );
  const before = process.memoryUsage().heapUsed;
  for (let n = 0; process.memoryUsage().heapUsed - before < bytes; n++) {
    const make = places[(n * n) % places.length];
    for (let record = 0; record < 100; record++) kept.push(make(n + record));
  }
}

/** Timers, and sockets that wait for what never comes. */
async function makePending(count) {
  const sockets = Math.min(250, Math.floor(count / 4));
  const server = createServer((socket) => kept.push(socket)).listen(0);
  await Promise.all(
    Array.from(
      { length: sockets },
      () =>
        new Promise((resolve, reject) => {
          const socket = connect(server.address().port, '127.0.0.1', resolve).once('error', reject);
          kept.push(socket);
        }),
    ),
  );
  while (process.getActiveResourcesInfo().length < count) kept.push(setTimeout(() => {}, 3_600_000));
}

function slice() {
  const until = performance.now() + 1;
  let units = 0;
  for (; performance.now() < until; units++) Math.sqrt(units);
  return units;
}

await profiler.start();
fillHeap(Number(megabytes) * 1e6);
await makePending(Number(operations));
await sleep(2000);

const snapshots = [];
for (let n = 0; n < SNAPSHOTS; n++) {
  const watch = new LoopWatch(slice);
  watch.start();
  await sleep(300);
  const from = performance.now();
  const paths = await contestants[name]();
  const to = performance.now();
  await sleep(50);
  watch.stop();
  const { pause, ownPause } = watch.report(from, to);
  const bytes = paths.reduce((sum, path) => sum + statSync(path).size, 0);
  snapshots.push({ pause, ownPause, durationMs: to - from, bytes });
}
const { heapUsed } = process.memoryUsage();
rmSync(folder, { recursive: true });
process.send({ snapshots, heapUsed, pending: process.getActiveResourcesInfo().length }, () =>
  process.exit(0),
);
