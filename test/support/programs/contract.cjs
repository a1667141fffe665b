// A profiler (argv[2]: core, express or fastify) that asks itself for what it serves; prints the answers and the log, as JSON.
const { request } = require('node:http');
const { Profiler, getProfiler } = require('@loopprof/core');

const logged = [];
const at = (level) => (details, message) => logged.push(`${level}: ${message}`);
const logger = { debug() {}, info() {}, warn: at('warn'), error: at('error') };
const sensitive = { trace: true };
const options = { access: 'loopback', sensitive, logger };

const START = {
  async core() {
    const profiler = new Profiler({ httpAddr: 'localhost:0', sensitive }, logger);
    await profiler.start();
    return { base: profiler.address, stop: () => profiler.stop() };
  },
  async express() {
    const app = require('express')().use(require('@loopprof/express').profilingMiddleware(options));
    const server = app.listen(0);
    return { base: baseOf(server), stop: () => server.close() };
  },
  async fastify() {
    const app = require('fastify')();
    await app.register(require('@loopprof/fastify').profilerPlugin, options);
    await app.listen({ port: 0 });
    return { base: baseOf(app.server), stop: () => app.close() };
  },
};

function baseOf(server) {
  return `http://127.0.0.1:${server.address().port}/debug/pprof/`;
}

// fetch() brings WebAssembly and more of its own; this is about us.
function ask(url, method = 'GET') {
  return new Promise((resolve, reject) => {
    request(url, { agent: false, method }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => {
        const body = Buffer.concat(chunks);
        const text = response.statusCode < 300 ? '' : body.toString();
        resolve({ status: response.statusCode, sizeBytes: body.length, text });
      });
    })
      .on('error', reject)
      .end();
  });
}

const PATHS = [
  '',
  'heap',
  'heap?gc=1',
  'heap?debug=1',
  'allocs',
  'block',
  'block?debug=1',
  'mutex',
  'goroutine',
  'goroutine?debug=2',
];
PATHS.push('threadcreate', 'symbol', 'stack', 'stalls', 'gc', 'runtime', 'requests');
const WINDOWS = ['profile', 'block', 'mutex', 'goroutine', 'goroutineleak', 'trace'].map(
  (name) => `${name}?seconds=1`,
);

async function main() {
  const { base, stop } = await START[process.argv[2] ?? 'core']();
  const answers = {};
  for (const path of PATHS) answers[path] = await ask(base + path);
  const windows = WINDOWS.map(async (path) => (answers[path] = await ask(base + path)));
  await Promise.all(windows);
  answers.snapshot = await ask(`${base}snapshot`, 'POST');
  await stop();
  await getProfiler().stop();
  console.log(JSON.stringify({ answers, logged }));
}
main();
