// Burns CPU in a function that is called after the tenth of a second it runs in; prints the index page's URL.
const { Profiler } = require('@loopprof/core');

const TICK_MS = 100;
let tick = 0;
let burn = () => {};

function turn() {
  const now = Date.now();
  const current = Math.floor(now / TICK_MS);
  if (current !== tick) {
    tick = current;
    burn = (0, eval)(`(function tick_${tick}(endsAt) {
      let sum = 0;
      while (Date.now() < endsAt) for (let n = 0; n < 500; n++) sum += Math.sqrt(n);
      return sum;
    })`);
  }
  burn(Math.min(now + 10, (tick + 1) * TICK_MS));
  setImmediate(turn);
}

const profiler = new Profiler({ httpAddr: 'localhost:0' });
profiler.start().then(() => {
  console.log(profiler.address);
  turn();
});
