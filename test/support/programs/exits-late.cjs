// A program with a profiler that exits, but looks back for a while first: prints how many threads less there are at the end of that.
const { readdirSync } = require('node:fs');
const { Profiler } = require('@loopprof/core');

const threads = () => readdirSync('/proc/self/task').length;

new Profiler({ httpAddr: 'localhost:0' }).start().then(() => {
  process.once('exit', () => {
    const atFirst = threads();
    for (const endsAt = performance.now() + 10_000; performance.now() < endsAt && threads() === atFirst; );
    console.log(atFirst - threads());
  });
  process.exit(4);
});
