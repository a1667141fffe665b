// Prints, as one line of JSON, what reportMetrics() says at some moments and what others say of the same moments: V8, Node's own
// observers, /proc.
const { execFileSync } = require('node:child_process');
const { readFileSync } = require('node:fs');
const { createServer } = require('node:net');
const { PerformanceObserver } = require('node:perf_hooks');
const { setTimeout: sleep } = require('node:timers/promises');
const { getHeapStatistics } = require('node:v8');
const { Profiler } = require('@loopprof/core');

let gcCount = 0;
let gcMs = 0;
const observer = new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) {
    gcCount += 1;
    gcMs += duration;
  }
});

function proc() {
  const pages = Number(readFileSync('/proc/self/statm', 'latin1').split(' ')[1]);
  // The 22nd field, counted behind the name in parentheses, which may hold anything.
  const startedTicks = Number(readFileSync('/proc/self/stat', 'latin1').split(') ')[1].split(' ')[19]);
  const upSeconds = Number(readFileSync('/proc/uptime', 'latin1').split(' ')[0]);
  return { sys: pages * 4096, uptimeMs: upSeconds * 1000 - startedTicks * 10 };
}

function v8() {
  const statistics = getHeapStatistics();
  return {
    alloc: statistics.used_heap_size,
    heapTotal: statistics.total_heap_size,
    external: statistics.external_memory,
  };
}

function block(durationMs) {
  const beganMs = performance.now();
  while (performance.now() - beganMs < durationMs);
  return performance.now() - beganMs;
}

function garbage() {
  let kept;
  for (let n = 0; n < 3_000_000; n++) kept = [n, { n }, kept?.[0]];
  return kept;
}

async function main() {
  const profiler = new Profiler({ enableHTTP: false, writeOnStop: false });
  const startedMs = performance.now();
  await profiler.start();
  observer.observe({ entryTypes: ['gc'] });
  const read = () => profiler.reportMetrics();
  const out = { cpus: Number(execFileSync('nproc', { encoding: 'utf8', env: {} })) };

  await sleep(400);
  out.idleBefore = proc();
  out.idle = read();
  out.idleAfter = proc();

  const held = Array.from({ length: 50 }, () => setTimeout(() => {}, 60_000));
  const servers = Array.from({ length: 7 }, () => createServer().listen(0));
  await sleep(50);
  out.busy = read();
  held.forEach(clearTimeout);
  servers.forEach((server) => server.close());

  globalThis.held = Buffer.alloc(32 * 2 ** 20, 1);
  garbage();
  await sleep(100);
  out.memory = { before: { ...v8(), ...proc() }, metrics: read(), after: { ...v8(), ...proc() } };
  out.gc = { metrics: read(), count: gcCount, ms: gcMs, forMs: performance.now() - startedMs };

  const blockedMs = [block(250), block(50)];
  await sleep(100);
  out.loop = {
    metrics: read(),
    blockedMs: blockedMs[0] + blockedMs[1],
  };
  await profiler.stop();
  console.log(JSON.stringify(out));
}
main();
