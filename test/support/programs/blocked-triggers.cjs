// Runs one step after the other that blocks the event loop, and prints a line of JSON for each, for every snapshot and every line of
// the log. Arguments: profileDir, `triggers` as JSON, steps.
const { execFileSync } = require('node:child_process');
const { readdirSync, readFileSync, writeSync } = require('node:fs');
const { join } = require('node:path');
const { totalmem } = require('node:os');
const { once } = require('node:events');
const { setTimeout: sleep } = require('node:timers/promises');
const { Profiler } = require('@loopprof/core');

const [, , profileDir, triggers, ...steps] = process.argv;
const print = (line) => writeSync(1, `${JSON.stringify(line)}\n`);
const at = (level) => (_details, message) => print({ level, message });
const logger = { debug: () => {}, info: at('info'), warn: at('warn'), error: at('error') };

const constrained = process.constrainedMemory();
const limitBytes = constrained > 0 && constrained < totalmem() ? constrained : totalmem();
const MB = 2 ** 20;
const rules = JSON.parse(triggers).map((rule) =>
  // Above what it has now by less than a step takes.
  rule.on === 'rss' ? { ...rule, shareAbove: (process.memoryUsage.rss() + 300 * MB) / limitBytes } : rule,
);

/** The rules that have fired, by the manifests on disk. */
const fired = () =>
  readdirSync(profileDir)
    .filter((name) => /^\d/.test(name))
    .flatMap((name) => JSON.parse(readFileSync(join(profileDir, name, 'manifest.json'), 'utf8')).triggers);
const kept = [];

function spinHere(ms) {
  const endsAtMs = performance.now() + ms;
  let sum = 0;
  while (performance.now() < endsAtMs) for (let n = 0; n < 1000; n++) sum += Math.sqrt(n);
  return sum;
}

/** Until so many have, and for another look at the rules. */
function spinUntil(count) {
  for (const endsAtMs = performance.now() + 30_000; fired().length < count; spinHere(100)) {
    if (performance.now() > endsAtMs) throw new Error('no snapshot while the event loop was blocked');
  }
  print({ firedMeanwhile: fired().map(({ on }) => on) });
  spinHere(1500);
}

const STEPS = {
  // Lets the sidecar in as a loop does, and leaves it the CPU.
  wait: (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms),
  allocate: (count) => {
    kept.push(Buffer.alloc(400 * MB, 1));
    kept.push(Array.from({ length: 300_000 }, (_, n) => new Array(20).fill(n + 0.5)));
    spinUntil(count);
  },
  native: (ms) => execFileSync('sleep', [String(ms / 1000)]),
};

/** A profiler keeps no process alive that waits for it. */
async function lasting(promise) {
  const timer = setInterval(() => {}, 1000);
  await promise;
  clearInterval(timer);
}

async function main() {
  const config = {
    enableHTTP: false,
    writeOnStop: false,
    hangThresholdMs: 600_000,
    profileDir,
    triggers: rules,
  };
  const profiler = new Profiler(config, logger);
  profiler.on('snapshot', (snapshot) => print({ snapshot }));
  await profiler.start();
  // For the sidecar.
  await sleep(400);
  for (const [index, step] of steps.entries()) {
    const taken = once(profiler, 'snapshot');
    const [name, argument] = step.split(' ');
    print({ step });
    STEPS[name](Number(argument));
    print({ ended: step });
    // For what the main thread makes of it.
    await sleep(1800);
    if (index < steps.length - 1) await lasting(taken);
  }
  await profiler.stop();
}
main();
