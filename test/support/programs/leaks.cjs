// Leaks in leakRecords() until it dies. argv[2]: the profiler's configuration; argv[3]: what is done meanwhile, or 'slowly': in a heap
// of 100 MB whose young generation is small, at a pace that leaves rules, which are looked at once a second, several looks above
// 70 %, and a snapshot some seconds even on a busy machine, before 80 %: from there on V8 gives up when collections come to nothing.
const { Profiler } = require('@loopprof/core');

const slowly = process.argv[3] === 'slowly';
const SLOW_FROM_RECORDS = 62_000;
const SLOW_TO_RECORDS = 74_000;
const kept = [];
function leakRecords() {
  for (let n = 0; n < 500; n++) kept.push(new Array(126).fill(n + 0.5));
}
function otherWork() {
  return Array.from({ length: 500 }, (_, n) => ({ n })).filter(({ n }) => n % 7 === 0);
}

async function main() {
  const profiler = new Profiler(JSON.parse(process.argv[2]), {
    debug: () => {},
    info: (_details, message) => console.log(message),
    warn: (_details, message) => console.log(message),
    error: (_details, message) => console.log(message),
  });
  await profiler.start();
  if (process.argv[3] === 'after stop') await profiler.stop();
  if (process.argv[3] === 'after another tool stopped the sampler') {
    require('@datadog/pprof/out/src/heap-profiler-bindings').stopSamplingHeapProfiler();
    await profiler.captureSnapshot();
  }
  for (;;) {
    leakRecords();
    otherWork();
    const isSlow = slowly && kept.length > SLOW_FROM_RECORDS && kept.length < SLOW_TO_RECORDS;
    await new Promise((next) => (isSlow ? setTimeout(next, 300) : setImmediate(next)));
  }
}
main();
