// An app whose `authorize` does what argv[2] says: rejects with something odd ('bare', 'revoked', 'getter', 'symbol', 'function'), or
// never answers ('never'). GET / is the app, which says how often the hook was asked. Prints the app's URL and the index page's.
const { createServer } = require('node:http');
const { Profiler, servePprof } = require('@loopprof/core');

const revoked = Proxy.revocable({}, {});
revoked.revoke();
const odd = {
  bare: Object.create(null),
  revoked: revoked.proxy,
  getter: Object.defineProperty({}, 'message', {
    get() {
      throw new Error('not this way');
    },
  }),
  symbol: Symbol('nobody'),
  function: () => {},
};
const how = process.argv[2];
let asked = 0;
const authorize = () => {
  asked += 1;
  return how === 'never' ? new Promise(() => {}) : Promise.reject(odd[how]);
};
const profiler = new Profiler({ httpAddr: 'localhost:0', writeOnStop: false, access: { authorize } });
profiler.start().then(() => {
  const handler = profiler.createHandler();
  const server = createServer((req, res) => {
    if (req.url.startsWith('/debug/pprof'))
      void servePprof(handler, { req, res }, { path: req.url.slice('/debug/pprof'.length), url: req.url });
    else res.end(`asked ${asked} times`);
  });
  server.listen(0, '127.0.0.1', () =>
    console.log(`http://127.0.0.1:${server.address().port}`, profiler.address),
  );
});
