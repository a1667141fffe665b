// Hangs once under several profilers. Arguments: their configurations as JSON; 'spin' or 'native'; for how long, in milliseconds.
const { execFileSync } = require('node:child_process');
const { setTimeout: sleep } = require('node:timers/promises');
const { Profiler } = require('@loopprof/core');

const [, , configs, how, ms] = process.argv;

function hangHere(forMs) {
  for (const endsAtMs = performance.now() + forMs; performance.now() < endsAtMs;);
}

async function main() {
  const profilers = JSON.parse(configs).map(
    (config) => new Profiler({ enableHTTP: false, writeOnStop: false, ...config }),
  );
  for (const profiler of profilers) await profiler.start();
  // For the sidecar.
  await sleep(400);
  if (how === 'spin') hangHere(Number(ms));
  else execFileSync('sleep', [String(ms / 1000)]);
  // For what is being written.
  await sleep(300);
  await Promise.all(profilers.map((profiler) => profiler.stop()));
}
main();
