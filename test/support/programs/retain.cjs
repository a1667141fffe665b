// Keeps argv[2] MB alive in retainedRecords() and prints the index page's URL. argv[3]: memorySampleBytes; argv[4]: MB off the heap.
const { Profiler } = require('@loopprof/core');

const records = [];
function retainedRecords(megabytes) {
  // A record is 1 KiB: 122 doubles of 8 bytes, their header of 16 and the array's own 32.
  for (let n = 0; n < megabytes * 1024; n++) records.push(new Array(122).fill(n + 0.5));
}
function garbage() {
  let kept = 0;
  for (let n = 0; n < 200_000; n++) kept += [n, n + 1, n + 2].length;
  return kept;
}

const config = { httpAddr: 'localhost:0', engine: process.env.ENGINE };
if (process.argv[3] !== undefined) config.memorySampleBytes = Number(process.argv[3]);
const profiler = new Profiler(config);
profiler.start().then(() => {
  retainedRecords(Number(process.argv[2]));
  garbage();
  globalThis.buffers = Buffer.alloc(Number(process.argv[4] ?? 0) * 1024 * 1024, 1);
  console.log(profiler.address);
  setInterval(() => records.length, 1000);
});
