'use strict';

const { getRequestTiming } = require('@loopprof/core');
const { profilerPlugin } = require('@loopprof/fastify');
const { fastify, LogController } = require('fastify');
const puzzles = require('../data/puzzles.json');

// One line for each request, below, in place of Fastify's two.
const app = fastify({ logger: true, logController: new LogController({ disableRequestLogging: true }) });
app.register(profilerPlugin);

app.addHook('onResponse', async ({ raw, log }) => {
  const { method, route, statusCode: status, startedAtMs, endedAtMs, aborted } = getRequestTiming(raw);
  log.info({ method, route, status, ms: endedAtMs - startedAtMs, aborted }, 'request');
});

const schema = { params: { type: 'object', properties: { level: { enum: Object.keys(puzzles) } } } };
app.get('/puzzles/:level', { schema }, async ({ params }) => puzzles[params.level]);
app.get('/puzzles/:level/solution', { schema }, async ({ params }) => solve(puzzles[params.level]));

// Tries all digits of the cell that has the fewest: a hard puzzle blocks the event loop, and a profile shows it.
function solve(puzzle) {
  const empty = [...puzzle.matchAll(/\./g)].map(({ index: at }) => ({ at, digits: digitsFor(puzzle, at) }));
  const [fewest] = empty.sort((a, b) => a.digits.length - b.digits.length);
  if (!fewest) return puzzle;
  for (const digit of fewest.digits) {
    const solved = solve(puzzle.slice(0, fewest.at) + digit + puzzle.slice(fewest.at + 1));
    if (solved) return solved;
  }
}

function digitsFor(puzzle, at) {
  const row = (cell) => Math.floor(cell / 9);
  const square = (cell) => 3 * Math.floor(cell / 27) + Math.floor((cell % 9) / 3);
  const sees = (cell) => row(cell) === row(at) || cell % 9 === at % 9 || square(cell) === square(at);
  const seen = new Set([...puzzle].filter((_, cell) => sees(cell)));
  return [...'123456789'].filter((digit) => !seen.has(digit));
}

app.listen({ port: process.env.PORT ?? 3000, listenTextResolver: (url) => `listening on ${url}` });
