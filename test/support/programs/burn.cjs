// Burns CPU in three functions in the ratio 60 : 30 : 10, for ever, and prints the index page's URL.
const { Profiler } = require('@loopprof/core');

// By CPU, not by the clock: on a busy machine equal times are not equal CPU.
function burn(cpuMs) {
  const start = process.cpuUsage();
  for (let sum = 0; ;) {
    for (let n = 0; n < 10_000; n++) sum += Math.sqrt(n);
    const { user, system } = process.cpuUsage(start);
    if (user + system >= cpuMs * 1000) return sum;
  }
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

const profiler = new Profiler({ httpAddr: 'localhost:0', engine: process.env.ENGINE });
profiler.start().then(() => {
  console.log(profiler.address);
  turn();
});
