// Prints the index page's URL; spins for eight seconds when something comes on stdin, and prints that it has spun.
const { Profiler } = require('@loopprof/core');

function spin(durationMs) {
  let sum = 0;
  for (const endsAt = performance.now() + durationMs; performance.now() < endsAt;) sum += Math.sqrt(sum + 1);
  return sum;
}

const profiler = new Profiler({
  httpAddr: 'localhost:0',
  engine: process.env.ENGINE,
  hangThresholdMs: Number(process.env.HANG_THRESHOLD_MS ?? 60_000),
  profileDir: process.env.PROFILE_DIR,
});
profiler.start().then(() => {
  console.log(profiler.address);
  process.stdin.once('data', () => {
    globalThis.kept = spin(8000);
    console.log('spun');
  });
});
