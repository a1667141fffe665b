// Half of the time, works at all that a profile may hold: named, anonymous and oddly named functions, garbage, other threads.
const { pbkdf2 } = require('node:crypto');
const { deflate } = require('node:zlib');
const { Profiler } = require('@loopprof/core');

const kept = [];
const bytes = Buffer.alloc(256 * 1024, 'loopprof');

function burn(ms) {
  const endsAt = performance.now() + ms;
  let sum = 0;
  while (performance.now() < endsAt) for (let n = 0; n < 2000; n++) sum += Math.sqrt(n);
  return sum;
}
function namedWork() {
  keep(2);
  return burn(5);
}
function keep(records) {
  for (let n = 0; n < records; n++) kept.push(new Array(1000).fill(n + 0.5));
  if (kept.length > 5000) kept.length = 0;
}
// A name outside the basic plane: four bytes of UTF-8, two units of UTF-16.
function 𝒳work() {
  return burn(5);
}
function run(work) {
  return work();
}
function litter() {
  let young = [];
  for (let n = 0; n < 60_000; n++) {
    young.push({ n, text: `${n}` });
    if (young.length > 20_000) young = [];
  }
  return young;
}

function turn() {
  namedWork();
  𝒳work();
  run(() => burn(5));
  run(() => {
    keep(2);
    return burn(5);
  });
  litter();
  deflate(bytes, () => {});
  pbkdf2('password', 'salt', 2000, 64, 'sha512', () => {});
  setTimeout(turn, 30);
}

const profiler = new Profiler({ httpAddr: 'localhost:0', memorySampleBytes: 16_384 });
async function main() {
  await profiler.start();
  turn();
  console.log(profiler.address);
}
main();
