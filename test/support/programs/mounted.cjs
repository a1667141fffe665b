// An Express app with profilingMiddleware(JSON.parse(argv[2])) and, with argv[3], a standalone server; prints the app's URL and that one's.
const { Profiler } = require('@loopprof/core');
const { profilingMiddleware } = require('@loopprof/express');
const express = require('express');

const app = express();
app.use(profilingMiddleware(JSON.parse(process.argv[2] ?? '{}')));
app.get('/', (req, res) => res.send('the app'));

async function main() {
  let address;
  if (process.argv[3] !== undefined) {
    const profiler = new Profiler(JSON.parse(process.argv[3]));
    await profiler.start();
    address = profiler.address;
  }
  const server = app.listen(0, '127.0.0.1', () => {
    console.log(`http://127.0.0.1:${server.address().port}`, address ?? '');
  });
}
main();
