// Takes a snapshot where no engine loads; prints the names of its files and its manifest.
const { readFileSync } = require('node:fs');
const { dirname, join } = require('node:path');
const { Profiler } = require('@loopprof/core');

async function main() {
  const profiler = new Profiler({ enableHTTP: false, engine: 'datadog' });
  await profiler.start();
  const files = await profiler.captureSnapshot();
  const manifest = JSON.parse(readFileSync(join(dirname(files.gc_stats), 'manifest.json'), 'utf8'));
  console.log(JSON.stringify({ names: Object.keys(files), manifest }));
  await profiler.stop();
}
main();
