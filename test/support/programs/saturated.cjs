// Never idle: every turn of the event loop blocks for a while in each of the modules of the folder argv[2]. Captures two profiles of
// itself and prints, as JSON, how many turns went by between the end of each window and the answer.
const { readdirSync } = require('node:fs');
const { join } = require('node:path');
const { Profiler } = require('@loopprof/core');

const work = readdirSync(process.argv[2]).map((file) => require(join(process.argv[2], file)));
let windowEndsAt = Infinity;
let turnsAfter = 0;
let ended = false;

function turn() {
  if (Date.now() > windowEndsAt) turnsAfter += 1;
  // Of uneven length, or the sampler would meet the same module every time.
  for (const burn of work) burn(1 + 2 * Math.random());
  if (!ended) setImmediate(turn);
}

async function main() {
  const profiler = new Profiler({ enableHTTP: false, access: 'public', engine: process.env.ENGINE });
  await profiler.start();
  const handler = profiler.createHandler();
  turn();
  const captures = [];
  for (let round = 1; round <= 2; round++) {
    turnsAfter = 0;
    windowEndsAt = Date.now() + 1000;
    const { status, body } = await handler({
      method: 'GET',
      url: '/profile?seconds=1',
      path: '/profile',
      headers: {},
      httpVersion: '1.1',
      remoteAddress: '127.0.0.1',
    });
    captures.push({ status, turnsAfter, body: Buffer.from(body).toString('base64') });
    windowEndsAt = Infinity;
  }
  ended = true;
  console.log(JSON.stringify(captures));
}
main();
