// Another profiler and loopprof in one process, started in the order of JSON.parse(argv[2]): { neighbour, order, from, sink }. Writes
// what loopprof saw to ours.json; what the other saw goes to files in the working directory or is posted to `sink`. Prints two lines
// and ends by itself, with a code of its own.
const { writeFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { setTimeout: sleep } = require('node:timers/promises');
const { runInThisContext } = require('node:vm');
const { gunzipSync } = require('node:zlib');

const { neighbour, order, from, sink } = JSON.parse(process.argv[2]);
const requireNeighbour = createRequire(from);

/** Each gives what ends it, if that has to be done. */
const NEIGHBOURS = {
  // Configured by the environment.
  'dd-trace': () => void requireNeighbour('dd-trace').init(),
  '@pyroscope/nodejs'() {
    const pyroscope = requireNeighbour('@pyroscope/nodejs');
    const wall = { samplingDurationMs: 1000, collectCpuTime: true };
    pyroscope.init({ appName: 'app', serverAddress: sink, flushIntervalMs: 1000, wall });
    pyroscope.start();
    return () => pyroscope.stop();
  },
  // Configured by the environment, too; writes its files when the process ends.
  '@platformatic/flame': () => void requireNeighbour('@platformatic/flame/preload.js'),
  '@sentry/profiling-node'() {
    const sentry = requireNeighbour('@sentry/node');
    const { nodeProfilingIntegration } = requireNeighbour('@sentry/profiling-node');
    sentry.init({
      dsn: sink.replace('://', '://key@') + '/1',
      integrations: [nodeProfilingIntegration()],
      tracesSampleRate: 1,
      profileSessionSampleRate: 1,
    });
    sentry.profiler.startProfiler();
    return async () => {
      sentry.profiler.stopProfiler();
      await sentry.close(5000);
    };
  },
};

const logged = [];
/** So that there is always something for a heap profile to show. */
const kept = [];
async function startOurs() {
  const at = (level) => (_details, message) => logged.push(`${level}: ${message}`);
  const logger = { debug() {}, info() {}, warn: at('warn'), error: at('error') };
  const { Profiler } = require('@loopprof/core');
  const profiler = new Profiler({ httpAddr: 'localhost:0', hangThresholdMs: 60_000 }, logger);
  await profiler.start();
  return profiler;
}

/** Status, and whether theWork() is in it. */
async function ask(url) {
  const response = await fetch(url);
  const body = Buffer.from(await response.arrayBuffer());
  return response.status === 200 && gunzipSync(body).includes('theWork') ? 'theWork' : response.status;
}

async function main() {
  console.log('the app begins');
  let profiler = order === 'after them' || order === 'alone' ? undefined : await startOurs();
  const end = NEIGHBOURS[neighbour]?.();
  if (order === 'after them') profiler = await startOurs();
  await sleep(500);
  // Compiled now: V8 may lack the names of what was optimised before a profiler began.
  const theWork = runInThisContext(
    `(function theWork(ms) {
      const kept = [];
      for (const endsAt = performance.now() + ms; performance.now() < endsAt; ) {
        for (let n = 0; n < 500; n++) kept.push([n, Math.sqrt(n)]);
        if (kept.length > 50_000) kept.length = 0;
      }
      return kept;
    })`,
    { filename: 'the-work.js' },
  );
  const timer = setInterval(() => kept.push(theWork(30)) > 20 && kept.shift(), 40);
  const ours = {};
  if (profiler) {
    ours.cpu = await ask(`${profiler.address}profile?seconds=2`);
    ours.heap = await ask(`${profiler.address}heap`);
    ours.engine = /engine (\S+)/.exec(await (await fetch(profiler.address)).text())?.[1];
  }
  await sleep(profiler ? 2500 : 5000);
  clearInterval(timer);
  await end?.();
  await profiler?.stop();
  writeFileSync('ours.json', JSON.stringify({ ...ours, logged }));
  console.log('the app ends');
  process.exitCode = 7;
  // Whoever keeps the process alive is not us.
  setTimeout(() => process.exit(), 5000).unref();
}
main();
