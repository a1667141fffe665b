// The owner's program: starts, works, and stops as the last thing it does. Works ended() before and lasting() in the last
// `profileDurationMs` of JSON.parse(argv[2]), the profiler's configuration.
const { Profiler } = require('@loopprof/core');

const config = JSON.parse(process.argv[2]);
const kept = [];

function burn(durationMs) {
  const until = performance.now() + durationMs;
  let sum = 0;
  while (performance.now() < until) sum += Math.sqrt(sum + 1);
  return sum;
}
function ended() {
  return burn(600);
}
function lasting() {
  return burn(config.profileDurationMs + 300);
}
function retained() {
  for (let n = 0; n < 20_000; n++) kept.push(new Array(126).fill(n + 0.5));
}

async function main() {
  const profiler = new Profiler(config);
  await profiler.start();
  retained();
  ended();
  lasting();
  await profiler.stop();
  console.log(JSON.stringify({ running: profiler.running, kept: kept.length }));
}
main();
