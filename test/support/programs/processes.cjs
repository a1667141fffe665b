// A program that does to its process what JSON.parse(argv[2]).scenario says, with a profiler if `profiled`. Prints what happens.
const { fork } = require('node:child_process');
const cluster = require('node:cluster');
const { get } = require('node:http');

const plan = JSON.parse(process.argv[2]);

const SCENARIOS = {
  'SIGUSR2 that nobody handles'() {
    process.kill(process.pid, 'SIGUSR2');
    setTimeout(() => {}, 60_000);
  },
  'SIGUSR2 that is handled'() {
    process.once('SIGUSR2', () => {
      console.log('handled');
      process.exit(4);
    });
    process.kill(process.pid, 'SIGUSR2');
    setTimeout(() => {}, 60_000);
  },
  SIGUSR1() {
    process.kill(process.pid, 'SIGUSR1');
    // Node answers it from a thread of its own, on stderr.
    setTimeout(() => process.exit(0), 1000);
  },
  'SIGTERM that is handled'() {
    process.once('SIGTERM', () => {
      console.log('closing');
      process.exitCode = 2;
      clearTimeout(alive);
    });
    const alive = setTimeout(() => {}, 60_000);
    process.kill(process.pid, 'SIGTERM');
  },
  'an exception that is handled'() {
    process.once('uncaughtException', (error) => {
      console.log(`caught ${error.message}`);
      process.exit(9);
    });
    setTimeout(() => {
      throw new Error('the app failed');
    }, 50);
  },
  'child_process.fork'() {
    const child = fork(__filename, [JSON.stringify({ ...plan, scenario: 'a child' })]);
    child.on('message', (message) => console.log(`child says ${message}`));
    child.on('exit', (code, signal) => console.log(`child ended with ${code} ${signal}`));
  },
  'a child'() {
    process.send('hello');
    setTimeout(() => process.exit(3), 100);
  },
  async 'cluster.fork'() {
    for (let n = 0; n < 2; n++) cluster.fork();
    let left = 2;
    // They share a port, so none may end before all are asked.
    const ports = [];
    cluster.on('message', async (_worker, port) => {
      if (ports.push(port) < 2) return;
      for (const each of ports) {
        await new Promise((resolve) =>
          get(`http://127.0.0.1:${each}/`, (response) => response.resume().once('end', resolve)),
        );
      }
      for (const worker of Object.values(cluster.workers)) worker.send('enough');
    });
    cluster.on('exit', (worker, code, signal) => {
      console.log(`worker ended with ${code} ${signal}`);
      if (--left === 0) console.log('all ended');
    });
  },
};

function serve() {
  const server = require('node:http').createServer((req, res) => res.end('hello'));
  server.listen(0, '127.0.0.1', () => process.send(server.address().port));
  process.on('message', () => {
    process.exitCode = 6;
    server.closeAllConnections();
    cluster.worker.disconnect();
  });
}

async function main() {
  if (plan.profiled) {
    const { Profiler } = require('@loopprof/core');
    await new Profiler({ httpAddr: 'localhost:0', engine: plan.engine }).start();
  }
  if (cluster.isWorker) serve();
  else SCENARIOS[plan.scenario]();
}
main();
