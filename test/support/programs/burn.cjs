// Burns CPU in three functions in the ratio 60 : 30 : 10, for ever, and prints the index page's URL. argv[2]: a configuration as JSON,
// with `scale`, in units of 100 ms of CPU, for a turn of all three, and `restMs` for the time between two turns.
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

const { scale = 1, restMs = 0, ...config } = JSON.parse(process.argv[2] ?? '{}');

function turn() {
  sixtyPercent();
  thirtyPercent();
  tenPercent();
  if (restMs > 0) setTimeout(turn, restMs);
  else setImmediate(turn);
}

const profiler = new Profiler({ httpAddr: 'localhost:0', ...config });
profiler.start().then(() => {
  console.log(profiler.address);
  turn();
});
