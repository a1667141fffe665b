'use strict';

const { mkdirSync, writeFileSync } = require('node:fs');
const path = require('node:path');
const { setTimeout: delay } = require('node:timers/promises');
const { startLoad } = require('./load');
const { fetchProfile, readProfile } = require('./profile');
const { withProgress } = require('./progress');
const { startService } = require('./service');
const { cpuTable, heapTable, ownCodeTable } = require('./table');

const warmUpSeconds = 3;
const cpuSeconds = 10;

// npm runs a script in the folder of its package; the files belong where the user is.
const outputFolder = path.join(process.env.INIT_CWD ?? process.cwd(), 'profiles');

async function main() {
  const service = await startService();
  try {
    console.log(`Started the service: ${service.url}, process ${service.pid}`);
    report(await captureUnderLoad(service));
  } finally {
    await service.stop();
  }
}

async function captureUnderLoad({ url, failed }) {
  const load = startLoad(url);
  try {
    await withProgress(
      (seconds) => `Warming up, ${load.connections} connections: ${seconds} of ${warmUpSeconds} s`,
      delay(warmUpSeconds * 1000),
    );
    const cpu = await withProgress(
      (seconds) =>
        `Capturing CPU: ${Math.min(seconds, cpuSeconds)} of ${cpuSeconds} s, ${load.rate()} requests/s`,
      fetchProfile(`${url}/debug/pprof/profile?seconds=${cpuSeconds}`, { seconds: cpuSeconds }),
    );
    const heap = await withProgress(
      () => 'Capturing the heap, after a garbage collection',
      fetchProfile(`${url}/debug/pprof/heap?gc=1`),
    );
    return { cpu, heap, traffic: await load.stop() };
  } catch (error) {
    load.stop();
    // A service that dies breaks its connections first; that it died is the better message.
    await Promise.race([failed, delay(500)]);
    throw error;
  }
}

function report({ cpu, heap, traffic }) {
  if (traffic.failed > 0) throw new Error(`${traffic.failed} requests were not answered with 2xx`);
  const cpuProfile = readProfile(cpu, 'cpu');
  const heapProfile = readProfile(heap, 'inuse_space');

  mkdirSync(outputFolder, { recursive: true });
  writeFileSync(path.join(outputFolder, 'cpu.prof'), cpu);
  writeFileSync(path.join(outputFolder, 'mem.prof'), heap);

  console.log(`
Load: ${traffic.requestsPerSecond.toFixed(0)} requests/s, latency ${traffic.medianMs} ms (median), ${traffic.p99Ms} ms (p99)

CPU: ${(cpuProfile.total / 1e9).toFixed(1)} s used in ${cpuSeconds} s. The hottest functions
(flat: in the function itself, cum: with everything it calls):

${cpuTable(cpuProfile)}

The same, only the service's own code:

${ownCodeTable(cpuProfile)}

Heap: ${(heapProfile.total / 1e6).toFixed(1)} MB alive after a garbage collection. Who allocated it:

${heapTable(heapProfile)}

Written: profiles/cpu.prof and profiles/mem.prof.
Go on with the tool that comes with Go (https://go.dev/dl/):

  go tool pprof -top profiles/cpu.prof
  go tool pprof -http=: profiles/cpu.prof
  go tool pprof -top profiles/mem.prof

Or ask a running server: npm start in examples/express, then in another terminal

  go tool pprof "http://localhost:3000/debug/pprof/profile?seconds=10"
`);
}

// Exiting is enough: the service is killed when this process exits.
process.once('SIGINT', () => process.exit(130));
process.once('SIGTERM', () => process.exit(143));

main().catch((error) => {
  const cause = error.cause === undefined ? '' : `: ${error.cause.message}`;
  console.error(`The demo failed: ${error.message}${cause}`);
  process.exit(1);
});
