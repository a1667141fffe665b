// Hangs once, stops its profiler, says so on stdout, and ends. Arguments: profileDir; 'full' to fill stderr before, as far as it goes.
const { execFileSync } = require('node:child_process');
const { setTimeout: sleep } = require('node:timers/promises');
const { Profiler } = require('@loopprof/core');

const [, , profileDir, how] = process.argv;

if (how === 'full') {
  try {
    execFileSync('cat', ['/dev/zero'], {
      stdio: ['ignore', 2, 'ignore'],
      timeout: 300,
      killSignal: 'SIGKILL',
    });
  } catch {
    // It waits for room until it is killed.
  }
}

function hangHere(ms) {
  for (const endsAtMs = performance.now() + ms; performance.now() < endsAtMs;);
}

async function main() {
  const profiler = new Profiler({
    enableHTTP: false,
    writeOnStop: false,
    hangThresholdMs: 300,
    profileDir,
  });
  await profiler.start();
  // For the sidecar.
  await sleep(400);
  hangHere(1200);
  await profiler.stop();
  console.log('stopped');
}
main();
