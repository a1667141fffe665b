// One contestant in one fresh process, doing one thing: argv is the contestant's name, the measurement and its length in ms.
//   boot     load and start it as the first thing the process does, before the compiler
//   warm     load and start it when the compiler is loaded, warm and busy
//   capture  take one capture in that state; what is always on has been started at boot
import { contestants } from './contestants.mjs';
import { LoopWatch } from './loop-watch.mjs';

/** By then the compiler's hot functions are optimised and its caches full. */
const WARM_UP_MS = 8000;

/** What start() leaves to the next turns of the loop still counts as its pause. */
const AFTER_START_MS = 500;

const [name, measurement, length] = process.argv.slice(2);
const contestant = contestants[name];
const calls = [];

function time(call, run) {
  const startedAt = performance.now();
  try {
    return run();
  } finally {
    calls.push({ call, at: startedAt, ms: performance.now() - startedAt });
  }
}

/** A real timer, so that what follows runs in a turn of its own and not inside a slice. */
const after = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The parent fetches and says how many bytes came. */
function fetchElsewhere(url) {
  const answer = new Promise((resolve) => process.once('message', resolve));
  process.send({ fetch: url });
  return answer;
}

async function measure(slice, { warmUpMs, run, afterMs }) {
  const watch = new LoopWatch(slice);
  watch.start();
  await after(warmUpMs);
  const cpuBefore = process.cpuUsage();
  const from = performance.now();
  const result = await run();
  if (afterMs) await after(afterMs);
  const to = performance.now();
  const { user, system } = process.cpuUsage(cpuBefore);
  await after(50);
  watch.stop();
  return {
    ...watch.report(from, to),
    cpuMs: (user + system) / 1000,
    bytes: result?.length ?? 0,
    calls: calls.filter(({ at }) => at >= from && at < to).map(({ call, ms }) => ({ call, ms })),
  };
}

const start = () => contestant.start({ time });

async function main() {
  if (measurement === 'boot') {
    return measure(() => 1, { warmUpMs: 100, run: start, afterMs: AFTER_START_MS });
  }
  if (measurement === 'capture' && contestant.alwaysOn) await start();
  const { createWorkload } = await import('./workload.mjs');
  const run =
    measurement === 'warm'
      ? start
      : () => contestant.capture({ millis: Number(length), time, fetchElsewhere });
  return measure(createWorkload(), {
    warmUpMs: WARM_UP_MS,
    run,
    afterMs: measurement === 'warm' ? AFTER_START_MS : 0,
  });
}

const report = await main();
process.send(report, () => process.exit(0));
