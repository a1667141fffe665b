// Burns CPU in three functions in the ratio 60 : 30 : 10, for ever, and prints the index page's URL.
const { Profiler } = require('@loopprof/core');

function burnUntil(endsAt) {
  let sum = 0;
  while (performance.now() < endsAt) for (let n = 0; n < 2000; n++) sum += Math.sqrt(n);
  return sum;
}
function sixtyPercent() {
  return burnUntil(performance.now() + 60 * unitMs);
}
function thirtyPercent() {
  return burnUntil(performance.now() + 30 * unitMs);
}
function tenPercent() {
  return burnUntil(performance.now() + 10 * unitMs);
}

const unitMs = Number(process.argv[2] ?? 1);

function turn() {
  sixtyPercent();
  thirtyPercent();
  tenPercent();
  setImmediate(turn);
}

const profiler = new Profiler({ httpAddr: 'localhost:0' });
profiler.start().then(() => {
  console.log(profiler.address);
  turn();
});
