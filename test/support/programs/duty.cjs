// Works for a share of the time, in callbacks 25 ms apart. Arguments: the share, a configuration as JSON. Prints, as JSON, what share
// the profiler has found, what the callbacks' own clock says, what Node does, and for what share others had the core.
const { readFileSync } = require('node:fs');
const { Profiler } = require('@loopprof/core');

const EVERY_MS = 25;
const FOR_MS = 6000;
const [share = '0', config = '{}'] = process.argv.slice(2);

/** How long this thread has been ready to run without being let. */
const runDelayMs = () => Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[1]) / 1e6;

const profiler = new Profiler({ enableHTTP: false, writeOnStop: false, ...JSON.parse(config) });
profiler.start().then(() => {
  const beganMs = performance.now();
  const heldFromMs = runDelayMs();
  const node = performance.eventLoopUtilization();
  let workedMs = 0;
  const work = () => {
    const startMs = performance.now();
    while (performance.now() - startMs < share * EVERY_MS);
    workedMs += performance.now() - startMs;
  };
  const timer = share > 0 && setInterval(work, EVERY_MS);
  setTimeout(() => {
    clearInterval(timer);
    const forMs = performance.now() - beganMs;
    const [own, held] = [workedMs / forMs, (runDelayMs() - heldFromMs) / forMs];
    const { eventLoopUtilization: found } = profiler.reportMetrics();
    const nodes = performance.eventLoopUtilization(performance.eventLoopUtilization(), node).utilization;
    console.log(JSON.stringify({ own, held, found, nodes }));
    process.exit();
  }, FOR_MS);
});
