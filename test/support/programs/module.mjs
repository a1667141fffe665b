// An ES module, whose URL and not its path is what V8 knows; prints the index page's URL.
import { Profiler } from '@loopprof/core';

function burnInModule() {
  const endsAt = performance.now() + 20;
  let sum = 0;
  while (performance.now() < endsAt) for (let n = 0; n < 2000; n++) sum += Math.sqrt(n);
  setTimeout(burnInModule, 20);
  return sum;
}

const profiler = new Profiler({ httpAddr: 'localhost:0' });
await profiler.start();
console.log(profiler.address);
burnInModule();
