'use strict';

const { getProfiler } = require('@loopprof/core');
const { profilingMiddleware } = require('@loopprof/express');
const express = require('express');
const log = require('pino')();

const MINUTES = 60_000;

const triggers = [
  { on: 'stall', longerThanMs: 250 },
  { on: 'highLoad', utilizationAbove: 0.9, forMs: 10_000 },
  { on: 'latency', p99AboveMs: 500 },
  { on: 'errors', shareAbove: 0.1 },
  { on: 'heapGrowth', timesAverageAbove: 1.5, overMs: 5 * MINUTES },
  { on: 'heap', shareAbove: 0.7 },
  { on: 'rss', shareAbove: 0.9, cooldownMs: 10 * MINUTES },
  { on: 'interval', everyMs: 60 * MINUTES },
  { on: 'signal', signal: 'SIGUSR2' },
  { on: 'outOfMemory' },
];

const app = express();
app.use(
  profilingMiddleware({ triggers, profileDir: './profiles', snapshots: { maxCount: 20 }, logger: log }),
);

getProfiler().on('snapshot', ({ reason, directory, triggers: [firing] }) => {
  log.warn({ reason, directory, values: firing?.values }, 'a snapshot was taken');
});

// Holds the event loop up when the number is large.
app.get('/primes/:below', (req, res) => {
  res.json({ primes: countPrimes(Number(req.params.below)) });
});

function countPrimes(below) {
  let count = 0;
  for (let candidate = 2; candidate < below; candidate++) if (isPrime(candidate)) count += 1;
  return count;
}

function isPrime(candidate) {
  for (let divisor = 2; divisor * divisor <= candidate; divisor++)
    if (candidate % divisor === 0) return false;
  return true;
}

// Never forgets anybody.
const visits = new Map();
app.get('/visits/:who', (req, res) => {
  const times = visits.get(req.params.who) ?? [];
  visits.set(req.params.who, [...times, new Date()]);
  res.json({ visits: times.length + 1 });
});

// Answers 500 for every letter that is no number.
app.get('/square/:number', (req, res) => {
  res.json({ square: (BigInt(req.params.number) ** 2n).toString() });
});

const server = app.listen(Number(process.env.PORT ?? 3000), (error) => {
  if (error) throw error;
  console.log(`listening on http://localhost:${server.address().port}`);
});
