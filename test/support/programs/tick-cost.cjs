// Tells what a tick costs before and after full collections that meet none waiting. argv[2]: the plan, as JSON. Needs --expose-gc.
const { setTimeout: sleep } = require('node:timers/promises');
const { Profiler } = require('@loopprof/core');

const { config, collections, waitMs } = JSON.parse(process.argv[2]);

const ROUNDS = 200;
const TICKS = 2000;

function round() {
  return new Promise((resolve) => {
    const startedAt = process.hrtime.bigint();
    let left = TICKS;
    const next = () => {
      left -= 1;
      if (left > 0) process.nextTick(next);
      else resolve(Number(process.hrtime.bigint() - startedAt) / TICKS);
    };
    process.nextTick(next);
  });
}

/** The least: others on the machine only ever add. */
async function nanosPerTick() {
  let least = Infinity;
  for (let n = 0; n < ROUNDS; n++) {
    least = Math.min(least, await round());
    await sleep(1);
  }
  return least;
}

async function main() {
  const profiler = new Profiler({ enableHTTP: false, writeOnStop: false, ...config });
  await profiler.start();
  const first = await nanosPerTick();
  await sleep(waitMs);
  const before = Math.min(first, await nanosPerTick());
  for (let n = 0; n < collections; n++) {
    await sleep(20);
    await globalThis.gc({ type: 'major', execution: 'async' });
  }
  const after = await nanosPerTick();
  await profiler.stop();
  console.log(JSON.stringify({ before, after }));
}

void main();
