// Starts a Profiler with JSON.parse(argv[2]), prints its index page's URL and then runs the file argv[3].
const { resolve } = require('node:path');
const { Profiler } = require('@loopprof/core');

const profiler = new Profiler({ httpAddr: 'localhost:0', ...JSON.parse(process.argv[2] ?? '{}') });
profiler.start().then(() => {
  console.log(profiler.address);
  if (process.argv[3]) require(resolve(process.argv[3]));
  else setInterval(() => {}, 1000);
});
