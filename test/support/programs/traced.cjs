// An Express app with a Profiler of JSON.parse(argv[2]) that asks itself for its routes: /burn/:id holds the loop for 60 ms by work,
// /read reads a file and derives a key, /hang never answers. Prints the index page's URL, and its own.
const { pbkdf2 } = require('node:crypto');
const { readFile } = require('node:fs/promises');
const express = require('express');
const { Profiler } = require('@loopprof/core');
const { profilingMiddleware } = require('@loopprof/express');

const profiler = new Profiler({ httpAddr: 'localhost:0', ...JSON.parse(process.argv[2] ?? '{}') });
const app = express();
app.use(profilingMiddleware({ profiler }));

function burn(ms) {
  const endsAt = performance.now() + ms;
  let sum = 0;
  while (performance.now() < endsAt) for (let n = 0; n < 2000; n++) sum += Math.sqrt(n);
  return sum;
}
let young = [];
function litter() {
  for (let n = 0; n < 40_000; n++) young.push({ n });
  young = [];
}

app.get('/burn/:id', (_req, res) => res.send(`${burn(60)}`));
app.get('/read', async (_req, res) => {
  litter();
  await readFile(__filename);
  pbkdf2('password', 'salt', 20_000, 32, 'sha256', () => res.send('done'));
});
app.get('/hang', () => {});

const server = app.listen(0, '127.0.0.1', async () => {
  await profiler.start();
  const origin = `http://127.0.0.1:${server.address().port}`;
  const ask = async (path, everyMs) => {
    await (await fetch(origin + path)).text();
    setTimeout(ask, everyMs, path, everyMs);
  };
  void ask('/burn/7', 150);
  void ask('/read', 20);
  fetch(`${origin}/hang`).catch(() => {});
  console.log(profiler.address, origin);
});
