'use strict';

const express = require('express');
const log = require('pino')();
const { getProfiler } = require('@loopprof/core');
const { profilingMiddleware } = require('@loopprof/express');
const { hasArticle, renderArticle } = require('./article');
const { groupings, aggregateSales } = require('./report');
const { getSession } = require('./session');
const { verifyPassword } = require('./user');

const app = express();

app.use(profilingMiddleware());
app.use(express.json());

// Only slow requests are logged: a line for each would be most of what a profile of the demo shows.
getProfiler().on('slowRequest', (timing) => {
  const { method, route, statusCode: status, startedAtMs, endedAtMs, eventLoopBlockedMs, gcMs } = timing;
  log.warn({ method, route, status, ms: endedAtMs - startedAtMs, eventLoopBlockedMs, gcMs }, 'slow request');
});

app.get('/health', (req, res) => {
  res.json({ status: 'ok', uptimeSeconds: Math.round(process.uptime()) });
});

app.get('/articles/:slug', async (req, res) => {
  const { slug } = req.params;
  if (!hasArticle(slug)) return res.status(404).json({ error: `no article called ${slug}` });
  res.send(await renderArticle(slug));
});

app.get('/reports/sales', async (req, res) => {
  const { by = 'region' } = req.query;
  if (!groupings.includes(by)) {
    return res.status(400).json({ error: `"by" must be one of ${groupings.join(', ')}` });
  }
  res.json({ by, cells: await aggregateSales(by) });
});

app.post('/login', (req, res) => {
  const { user, password } = req.body ?? {};
  if (typeof user !== 'string' || typeof password !== 'string') {
    return res.status(400).json({ error: '"user" and "password" are required' });
  }
  if (!verifyPassword(user, password)) return res.status(401).json({ error: 'wrong user or password' });
  res.json({ user });
});

app.get('/sessions/:id', async (req, res) => {
  res.json(await getSession(req.params.id));
});

module.exports = app;
