// Works for a share of the time, in callbacks 25 ms apart. Arguments: the share, a configuration as JSON. Prints, as JSON, what share
// the profiler has found, what the callbacks' own clock says, and what Node does.
const { Profiler } = require('@loopprof/core');

const EVERY_MS = 25;
const FOR_MS = 6000;
const [share = '0', config = '{}'] = process.argv.slice(2);

const profiler = new Profiler({ enableHTTP: false, writeOnStop: false, ...JSON.parse(config) });
profiler.start().then(() => {
  const beganMs = performance.now();
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
    const own = workedMs / (performance.now() - beganMs);
    const { eventLoopUtilization: found } = profiler.reportMetrics();
    const nodes = performance.eventLoopUtilization(performance.eventLoopUtilization(), node).utilization;
    console.log(JSON.stringify({ own, found, nodes }));
    process.exit();
  }, FOR_MS);
});
