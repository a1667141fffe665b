// Does nothing but stay alive, profiled; prints the index page's URL.
const { Profiler } = require('@loopprof/core');

const profiler = new Profiler({ httpAddr: 'localhost:0', engine: process.env.ENGINE });
profiler.start().then(() => {
  console.log(profiler.address);
  setInterval(() => {}, 1000);
});
