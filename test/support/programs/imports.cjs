// Requires all packages and prints, as JSON, what of the process that has changed; then another tool uses V8's profilers.
const { existsSync, readdirSync } = require('node:fs');

const counted = (names) => {
  const counts = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
};
function state() {
  return {
    threads: existsSync('/proc/self/task') ? readdirSync('/proc/self/task').length : 0,
    resources: counted(process.getActiveResourcesInfo()),
    listeners: Object.fromEntries(
      process.eventNames().map((name) => [String(name), process.listenerCount(name)]),
    ),
    globals: Reflect.ownKeys(globalThis).map(String),
  };
}

const before = state();
for (const name of ['core', 'express', 'koa', 'fastify']) require(`@loopprof/${name}`);
const after = state();
const addons = Object.keys(require.cache).filter(
  (file) => file.includes('@datadog') || file.endsWith('.node'),
);

const { time, heap } = require('@datadog/pprof');
time.start({ durationMillis: 1000, intervalMicros: 10_000 });
heap.start(524_288, 64);
const foreign = { samples: time.stop().sampleType.length, heap: heap.profile().sampleType.length };
heap.stop();

console.log(JSON.stringify({ before, after, addons, foreign }));
