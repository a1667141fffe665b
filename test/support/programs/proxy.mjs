// A Node proxy on a free port that passes everything to argv[2], with the options of JSON.parse(argv[3]); prints its URL.
import { createServer } from 'node:http';
import { createProxyServer } from 'httpxy';

const proxy = createProxyServer({ target: process.argv[2], ...JSON.parse(process.argv[3] ?? '{}') });
const server = createServer((req, res) => {
  proxy.web(req, res).catch(() => res.writeHead(502).end());
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
