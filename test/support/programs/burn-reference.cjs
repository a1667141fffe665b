// The same burning as burn.cjs, profiled by Google's pprof: prints its profile as base64. argv[2]: where that package is.
const pprof = require(process.argv[2]);

function burnUntil(endsAt) {
  let sum = 0;
  while (performance.now() < endsAt) for (let n = 0; n < 2000; n++) sum += Math.sqrt(n);
  return sum;
}
function sixtyPercent() {
  return burnUntil(performance.now() + 60);
}
function thirtyPercent() {
  return burnUntil(performance.now() + 30);
}
function tenPercent() {
  return burnUntil(performance.now() + 10);
}

const stop = pprof.time.start(10_000);
const endsAt = performance.now() + 10_000;
(function turn() {
  sixtyPercent();
  thirtyPercent();
  tenPercent();
  if (performance.now() < endsAt) return void setImmediate(turn);
  pprof.encode(stop()).then((bytes) => console.log(Buffer.from(bytes).toString('base64')));
})();
