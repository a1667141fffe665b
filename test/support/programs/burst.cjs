// Has timers of a millisecond each run in one turn of the event loop, with a rule on stalls that are shorter than all of them
// together; prints the stalls, the backlog and the snapshots of that time as JSON. argv[2]: profileDir; argv[3]: how many timers;
// argv[4]: 'watched' for a sidecar, which looks at the rules as well when all of that takes more than a second.
const { setTimeout: sleep } = require('node:timers/promises');
const { Profiler } = require('@loopprof/core');

function burn(ms) {
  const endsAt = performance.now() + ms;
  while (performance.now() < endsAt);
}

const profiler = new Profiler({
  httpAddr: 'localhost:0',
  sidecar: process.argv[4] === 'watched',
  writeOnStop: false,
  hangThresholdMs: 600_000,
  profileDir: process.argv[2],
  triggers: [{ on: 'stall', longerThanMs: 300 }],
});
const snapshots = [];
profiler.on('snapshot', ({ reason }) => snapshots.push(reason));

async function main() {
  await profiler.start();
  const read = async () => (await fetch(`${profiler.address}stalls`)).json();
  await sleep(2500);
  const before = await read();
  snapshots.length = 0;
  for (let n = 0; n < Number(process.argv[3]); n++) setTimeout(() => burn(1), 50);
  // For the rules, which are looked at once a second.
  await sleep(3500);
  const { count, stalls, backlog } = await read();
  console.log(
    JSON.stringify({
      stalls: stalls.slice(0, count - before.count),
      backlogMs: backlog.totalMs - before.backlog.totalMs,
      snapshots,
    }),
  );
  await profiler.stop();
}
main();
