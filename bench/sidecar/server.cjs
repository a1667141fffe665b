// A server of one kind in a process of its own: argv[2] is 'bare', 'without' or 'with' (the sidecar). Tells its port, and at every
// mark the CPU used so far and what memory it has.
const express = require('express');

const app = express();

async function main() {
  const kind = process.argv[2];
  if (kind !== 'bare') {
    const { Profiler } = require('@loopprof/core');
    const profiler = new Profiler({ httpAddr: 'localhost:0', sidecar: kind === 'with' });
    await profiler.start();
    app.use(require('@loopprof/express').profilingMiddleware({ profiler }));
  }
  app.get('/users/:id', (req, res) => res.json({ id: req.params.id, name: 'Ada Lovelace' }));
  const server = app.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
  process.on('message', () => {
    const { user, system } = process.cpuUsage();
    process.send({ cpuMicros: user + system, rssBytes: process.memoryUsage.rss() });
  });
  process.on('disconnect', () => process.exit());
}
main();
