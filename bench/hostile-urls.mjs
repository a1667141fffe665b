// What a server keeps of requests for as many distinct hostile URLs, after a fifth as many for one. Prints a table; asserts nothing.
//   node bench/hostile-urls.mjs [count] [--for-one count] [--young-mib size] [--json]      count is a million unless given
// The Node that runs this runs the server too, an Express app with everything on. With room for what is young it collects less often.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { parseArgs } from 'node:util';
import { Profile } from 'pprof-format';
import { printTable } from './pause/table.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'for-one': { type: 'string' },
    json: { type: 'boolean', default: false },
    serve: { type: 'boolean', default: false },
    'young-mib': { type: 'string' },
  },
});

const SOCKETS = 8;
const PIPELINED = 64;

const one = 'GET /users/7 HTTP/1.1\r\nHost: app\r\n\r\n';

const METHODS = [
  'POST',
  'PUT',
  'DELETE',
  'PATCH',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'PROPFIND',
  'MKCOL',
  'LOCK',
  'PURGE',
];
const MORE_METHODS = [
  'M-SEARCH',
  'REPORT',
  'SEARCH',
  'ACL',
  'BIND',
  'LINK',
  'UNSUBSCRIBE',
  'SOURCE',
  'MKACTIVITY',
];

/** All are long, so that whoever keeps them cannot hide it. */
const PATHS = [
  (id) => `/users/${id}`,
  (id) => `/${id}`,
  (id) => `/USERS/${id}?q=${id}`,
  (id) => `/files/${id}/../../${id}`,
  (id) => `/api/v${id}/tenant-${id}/${id}`,
  (id) => `/API/%2e%2e%2f${id}/x/%00${id}`,
  (id) => `/users/%E0%A4%A${id}`,
  (id) => `/by-pattern-${id}/${id}`,
  (id) => `/There/${id}`,
  (id) => `/__proto__/constructor/${id}`,
  (id) => `/passes/<script>alert('${id}')</script>`,
  (id) => `//evil.example/users/${id}`,
  (id) => `http://${id}.example/users/${id}`,
  (id) => `/${'a/'.repeat(40)}${id}`,
  (id) => `/users;jsessionid=${id}`,
  (id) => `/users/${id}/${id}?${id}=${id}#${id}`,
];

/** The server: routes of every kind, all with something in them that comes from the URL. */
async function serve() {
  const { default: express } = await import('express');
  const { profilingMiddleware } = await import('@loopprof/express');
  const app = express();
  app.disable('x-powered-by');
  app.use(profilingMiddleware({ access: 'loopback' }));
  const answer = (_req, res) => res.end('x');
  const items = express.Router({ mergeParams: true }).all('/:item', answer);
  app.all('/users/:id', answer);
  app.all(/^\/files\/(.+)$/, answer);
  app.use('/api/:version/:tenant', items);
  app.use(/^\/by-pattern-\w+/, items);
  app.use(['/here', '/there'], items);
  app.all('/hangs/:id', () => {});
  app.all('/passes/:id', (_req, _res, next) => next());
  app.use((_req, res) => res.status(404).end());
  app.use((error, _req, res, next) => (res.headersSent ? next(error) : res.status(400).end()));
  const server = app.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
  process.on('message', () => {
    // What finalizers let go of is free after the next collection.
    for (let time = 0; time < 3; time++) globalThis.gc();
    process.send({ heapUsed: process.memoryUsage().heapUsed, rss: process.memoryUsage().rss });
  });
  process.on('disconnect', () => process.exit());
}

async function measure(count, forOne) {
  if (!(count >= 1000 && forOne >= 1000)) {
    console.error('a count must be a number, 1000 or more');
    process.exit(2);
  }
  const young = values['young-mib'] ? [`--min-semi-space-size=${values['young-mib']}`] : [];
  const server = fork(fileURLToPath(import.meta.url), ['--serve'], { execArgv: ['--expose-gc', ...young] });
  const [{ port }] = await once(server, 'message');
  const url = `http://127.0.0.1:${port}/debug/pprof`;
  const getJson = async (path) => (await fetch(url + path)).json();
  const weigh = async () => {
    // Requests are settled a little after their end; those whose client is gone are noticed within seconds.
    for (let attempt = 0; attempt < 50 && (await getJson('/requests')).inFlightCount > 0; attempt++)
      await sleep(100);
    await sleep(300);
    server.send('weigh');
    const [weight] = await once(server, 'message');
    return weight;
  };

  // What is compiled, cached and learned by then is in none of the figures.
  await load(port, 3000, () => one);
  await load(port, 3000, (n) => hostile(-n));
  await hangUp(port, 20);
  const before = await weigh();
  await load(port, forOne, () => one);
  const afterOne = await weigh();
  const profile = fetch(`${url}/profile?seconds=1`).then((response) => response.arrayBuffer());
  await load(port, count, hostile);
  await hangUp(port, 200);
  const afterHostile = await weigh();

  const { series, routes, overflowed, inFlightCount } = await getJson('/requests');
  const { eventLoop } = await getJson('/runtime');
  server.disconnect();
  const named = [...series, ...routes, ...eventLoop.blocked];
  const report = {
    count,
    forOne,
    requests: series.reduce((sum, each) => sum + each.count, 0),
    series: series.length,
    overflowed,
    inFlightCount,
    routes: distinct(named.map(({ route }) => route)),
    methods: distinct(named.map(({ method }) => method)),
    labels: labelsOf(Buffer.from(await profile)),
    heapMiB: {
      before: mebi(before.heapUsed),
      afterOneUrl: mebi(afterOne.heapUsed),
      afterHostileUrls: mebi(afterHostile.heapUsed),
    },
    rssMiB: {
      before: mebi(before.rss),
      afterOneUrl: mebi(afterOne.rss),
      afterHostileUrls: mebi(afterHostile.rss),
    },
  };
  if (values.json) console.log(JSON.stringify(report));
  else print(report);
}

function print({ count, forOne, series, heapMiB, rssMiB, routes, methods }) {
  console.info(
    `Node ${process.version}: an Express app, ${forOne} requests for one URL, then ${count} for as many hostile ones\n`,
  );
  const row = (title, each) => [title, ...Object.values(each).map((size) => size.toFixed(1))];
  printTable(
    ['MiB', 'warm', 'after one URL', 'after hostile URLs'],
    [row('heap used, after gc', heapMiB), row('resident', rssMiB)],
  );
  console.info(
    `\n${series} series of ${routes.length} routes and ${methods.length} methods:\n  ${routes.join('\n  ')}`,
  );
}

const mebi = (bytes) => bytes / 2 ** 20;

const distinct = (names) => [...new Set(names)].sort();

/** All values of every label of a profile. */
function labelsOf(bytes) {
  const { sample, stringTable } = Profile.decode(gunzipSync(bytes));
  const text = (index) => stringTable.strings[Number(index)];
  const found = {};
  for (const { key, str } of sample.flatMap(({ label }) => label)) (found[text(key)] ??= []).push(text(str));
  return Object.fromEntries(Object.entries(found).map(([key, all]) => [key, distinct(all)]));
}

function hostile(n) {
  const id = `${(n * 2654435761).toString(36)}-${n}-${'0123456789abcdef'.repeat(6)}`;
  const path = PATHS[Math.abs(n) % PATHS.length](id);
  const all = [...METHODS, ...MORE_METHODS];
  const method = n % 5 === 0 ? all[Math.abs(n / 5) % all.length] : 'GET';
  return `${method} ${path} HTTP/1.1\r\nHost: ${id}.example\r\nX-Forwarded-For: ${id}\r\n\r\n`;
}

/** Sends `count` requests over some connections, many at once on each, and waits for all answers. */
async function load(port, count, requestOf) {
  let sent = 0;
  const drive = async () => {
    const socket = connect(port, '127.0.0.1').setEncoding('latin1');
    socket.setNoDelay(true);
    let waiting = 0;
    let rest = '';
    let wake = () => {};
    socket.on('data', (chunk) => {
      // The body of an answer is a letter at most, so this begins every answer and nothing else; the end of a chunk may cut it.
      const parts = (rest + chunk).split('HTTP/1.1 ');
      waiting -= parts.length - 1;
      rest = parts.at(-1).slice(-8);
      if (waiting === 0) wake();
    });
    const closed = once(socket, 'close').then(() => {
      if (waiting > 0)
        throw new Error(`the server has closed the connection; ${waiting} answers were missing`);
    });
    while (sent < count) {
      const batch = [];
      while (batch.length < PIPELINED && sent < count) batch.push(requestOf(++sent));
      waiting += batch.length;
      const answered = new Promise((resolve) => (wake = resolve));
      socket.write(batch.join(''), 'latin1');
      await Promise.race([answered, closed]);
    }
    socket.destroy();
    await closed;
  };
  await Promise.all(Array.from({ length: SOCKETS }, drive));
}

/** Clients that send several requests at once and leave while the first is being answered. */
async function hangUp(port, count) {
  for (let n = 0; n < count; n++) {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write(`GET /hangs/${n} HTTP/1.1\r\nHost: app\r\n\r\n${hostile(n)}${hostile(n + 1)}`);
    await sleep(1);
    socket.resetAndDestroy();
  }
}

if (values.serve) await serve();
else {
  const count = Number(positionals[0] ?? 1_000_000);
  await measure(count, Number(values['for-one'] ?? count / 5));
}
