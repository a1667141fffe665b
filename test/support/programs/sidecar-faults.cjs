// An app whose sidecar can be brought down: GET /sidecar/<how> does it ('exit', 'throw', 'spin', 'wait', 'fill', 'terminate'). GET / is the
// app, /debug/pprof/ is mounted in it, /logged tells what was logged, /waits holds the event loop off the CPU. Prints the app's URL and the index page's. argv[2]: a configuration as JSON.
const { createServer } = require('node:http');
const threads = require('node:worker_threads');

const { Worker } = threads;
const wrapper = `
  const { parentPort, workerData } = require('node:worker_threads');
  require(workerData.file);
  parentPort.on('message', (how) => {
    if (how === 'exit') process.exit(9);
    if (how === 'throw') throw new Error('out of luck in the sidecar');
    if (how === 'spin') for (;;);
    if (how === 'wait') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    for (const kept = []; ; ) kept.push(new Array(1e5).fill(kept.length + 0.5));
  });
  parentPort.unref();
`;
let sidecar;
let started = 0;
// The real worker, in which something goes wrong.
threads.Worker = class extends Worker {
  constructor(file, options) {
    super(wrapper, { ...options, eval: true, workerData: { ...options.workerData, file } });
    sidecar = this;
    started += 1;
  }
};

const { Profiler, servePprof } = require('@loopprof/core');

const logged = [];
const at = (level) => (_details, message) => logged.push(`${level}: ${message}`);
const logger = { debug() {}, info() {}, warn: at('warn'), error: at('error') };
for (const event of ['uncaughtException', 'unhandledRejection', 'warning']) {
  process.on(event, (what) => {
    console.log(event, what);
    process.exit(70);
  });
}

function waitForNobody() {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
}

const config = { httpAddr: 'localhost:0', hangThresholdMs: 60_000, ...JSON.parse(process.argv[2] ?? '{}') };
const profiler = new Profiler(config, logger);
const handler = profiler.createHandler({ access: 'loopback' });
profiler.start().then(() => {
  const server = createServer((req, res) => {
    const how = req.url.split('/sidecar/')[1];
    if (how === 'terminate') void sidecar.terminate();
    else if (how) sidecar.postMessage(how);
    if (req.url === '/waits') waitForNobody();
    const { address } = profiler;
    if (req.url === '/debug/pprof/') void servePprof(handler, { req, res }, { path: '/', url: req.url });
    else res.end(req.url === '/logged' ? JSON.stringify({ logged, started, address }) : 'the app');
  });
  server.listen(0, '127.0.0.1', () =>
    console.log(`http://127.0.0.1:${server.address().port}`, profiler.address),
  );
  process.stdin.once('data', async () => {
    await profiler.stop();
    server.close();
    server.closeAllConnections();
    process.stdin.destroy();
  });
});
