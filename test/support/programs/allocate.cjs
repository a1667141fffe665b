// Serves a Profiler with JSON.parse(argv[2]) and prints its index page's URL and one of its own: GET /litter?mb=N allocates N MB of
// short-lived objects, 60 : 30 : 10 by function, GET /keep?mb=N keeps as much, GET /drop lets go of that. Runs with NOTHING_INLINED.
const { createServer } = require('node:http');
const { Profiler } = require('@loopprof/core');

// 126 doubles of 8 bytes and two headers: 1 KiB.
const record = (n) => new Array(126).fill(n + 0.5);
let kept = [];
let sum = 0;

function litterMost(records) {
  for (let n = 0; n < records; n++) sum += record(n).length;
}
function litterSome(records) {
  for (let n = 0; n < records; n++) sum += record(n).length;
}
function litterLittle(records) {
  for (let n = 0; n < records; n++) sum += record(n).length;
}
function litter(megabytes) {
  for (let round = 0; round < 100; round++) {
    litterMost(megabytes * 6.144);
    litterSome(megabytes * 3.072);
    litterLittle(megabytes * 1.024);
  }
}
function keepRecords(megabytes) {
  for (let n = 0; n < megabytes * 1024; n++) kept.push(record(n));
}

const WORK = { '/litter': litter, '/keep': keepRecords, '/drop': () => (kept = []) };

const profiler = new Profiler({ httpAddr: 'localhost:0', ...JSON.parse(process.argv[2] ?? '{}') });
const server = createServer((req, res) => {
  const url = new URL(req.url, 'http://localhost');
  WORK[url.pathname](Number(url.searchParams.get('mb')));
  res.end(`${sum}`);
});
server.listen(0, '127.0.0.1', async () => {
  await profiler.start();
  console.log(`${profiler.address} http://127.0.0.1:${server.address().port}`);
});
