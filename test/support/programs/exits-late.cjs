// A program with a profiler that exits, but looks back for a while first: prints how many of its threads have ended in that time.
// argv[2] 'after-execve': it has tried to be replaced by another program right before.
const { readdirSync } = require('node:fs');
const { Profiler } = require('@loopprof/core');

const threads = () => readdirSync('/proc/self/task');

new Profiler({ httpAddr: 'localhost:0' }).start().then(() => {
  process.once('exit', () => {
    const atFirst = threads();
    const endedOnes = () => {
      const now = threads();
      return atFirst.filter((id) => !now.includes(id)).length;
    };
    for (const endsAt = performance.now() + 10_000; performance.now() < endsAt && endedOnes() === 0;);
    console.log(endedOnes());
  });
  try {
    if (process.argv[2] === 'after-execve') process.execve('/nowhere', ['nowhere']);
  } catch {
    // The sidecar has come to rest for it, and goes on in the next turn.
  }
  process.exit(4);
});
