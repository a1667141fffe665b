// Two workers of a cluster with one configuration: both want the address argv[2]. Prints what each logged and whether its app serves.
const cluster = require('node:cluster');
const { createServer } = require('node:http');

async function work() {
  const { Profiler } = require('@loopprof/core');
  const logged = [];
  const at = (level) => (_details, message) => logged.push(`${level}: ${message}`);
  const logger = { debug() {}, info() {}, warn: at('warn'), error: at('error') };
  const profiler = new Profiler({ httpAddr: process.argv[2] }, logger);
  await profiler.start();
  const server = createServer((_req, res) => res.end('the app'));
  await new Promise((resolve) => server.listen({ port: 0, host: '127.0.0.1', exclusive: true }, resolve));
  const app = await (await fetch(`http://127.0.0.1:${server.address().port}/`)).text();
  process.send({ logged, app, address: profiler.address ?? null });
  process.once('message', () => process.exit(0));
}

if (cluster.isPrimary) {
  const told = [];
  for (let n = 0; n < 2; n++) cluster.fork();
  cluster.on('message', (_worker, what) => {
    if (told.push(what) < 2) return;
    console.log(JSON.stringify(told));
    for (const worker of Object.values(cluster.workers)) worker.send('enough');
  });
} else work();
