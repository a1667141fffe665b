// Burns CPU in three functions in the ratio 60 : 30 : 10, for ever, and prints the index page's URL.
const { Profiler } = require('@loopprof/core');

// By work, not by time: on a busy machine equal times are not equal CPU. What nobody reads would be optimised away.
const sink = new Float64Array(1);
function burn(units) {
  let sum = 0;
  for (let n = 0; n < units * 150_000; n++) sum += Math.sqrt(n);
  sink[0] += sum;
}
function sixtyPercent() {
  return burn(60 * scale);
}
function thirtyPercent() {
  return burn(30 * scale);
}
function tenPercent() {
  return burn(10 * scale);
}

const scale = Number(process.argv[2] ?? 1);

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
