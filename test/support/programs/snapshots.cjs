// Writes snapshots, and the files of stop(), as fast as it can and for ever; prints a line after each. argv[2]: the configuration
const { Profiler } = require('@loopprof/core');

async function main() {
  const profiler = new Profiler(JSON.parse(process.argv[2]));
  for (;;) {
    await profiler.start();
    for (let n = 0; n < 5; n++) console.log((await profiler.captureSnapshot()).memory);
    await profiler.stop();
    console.log('stopped');
  }
}
main();
