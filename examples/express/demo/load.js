'use strict';

const { readdirSync } = require('node:fs');
const path = require('node:path');
const autocannon = require('autocannon');

const connections = 10;
const maxSeconds = 60;
const articleFiles = readdirSync(path.join(__dirname, '..', 'data', 'articles'));

let visitorCount = 0;

const get = (url) => ({ method: 'GET', path: url });
const login = {
  method: 'POST',
  path: '/login',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ user: 'ada', password: 'correct horse battery staple' }),
};
const visit = {
  method: 'GET',
  path: '/sessions/new',
  setupRequest: (request) => ({ ...request, path: `/sessions/visitor-${++visitorCount}` }),
};

const articles = articleFiles.map((file) => get(`/articles/${path.basename(file, '.md')}`));

// Mostly reading, sessions with every page, now and then a login or a report.
const requests = [
  get('/health'),
  ...articles.flatMap((article) => [article, visit, visit]),
  get('/reports/sales?by=region'),
  ...articles.flatMap((article) => [article, visit, visit]),
  login,
];

// Each connection starts somewhere else in the list, or all of them would log in at the same moment.
function rotated(offset) {
  return [...requests.slice(offset), ...requests.slice(0, offset)];
}

function startLoad(url) {
  let clientCount = 0;
  let responseCount = 0;
  const startedAt = Date.now();
  const run = autocannon({
    url,
    connections,
    duration: maxSeconds,
    setupClient: (client) => {
      client.setRequests(rotated(Math.floor((clientCount++ * requests.length) / connections)));
    },
  });
  run.on('response', () => responseCount++);

  async function stop() {
    run.stop();
    const { requests: perSecond, latency, non2xx, errors } = await run;
    return {
      requestsPerSecond: perSecond.average,
      medianMs: latency.p50,
      p99Ms: latency.p99,
      failed: non2xx + errors,
    };
  }

  const rate = () => Math.round((responseCount * 1000) / (Date.now() - startedAt));

  return { connections, rate, stop };
}

module.exports = { startLoad };
