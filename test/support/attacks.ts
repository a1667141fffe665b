/** The table of attacks: ways in that must not be. Raw sockets, since no HTTP client would send most of these. */
import type { Door } from './doors.js';
import { rawRequest } from './raw.js';

/** One request, line by line. */
export interface Attack {
  name: string;
  lines: string[];
}

export const LOCAL = 'Host: localhost';

/** What gives away, each by itself, that a request does not come from a program on this machine. */
const MARKS: Record<string, string[]> = {
  'X-Forwarded-For': [LOCAL, 'X-Forwarded-For: 127.0.0.1'],
  Forwarded: [LOCAL, 'Forwarded: for=127.0.0.1;host=localhost;proto=http'],
  'X-Real-IP': [LOCAL, 'X-Real-IP: 127.0.0.1'],
  'a name of the attacker': ['Host: evil.example'],
  'a foreign page': [LOCAL, 'Sec-Fetch-Site: cross-site', 'Sec-Fetch-Mode: no-cors'],
  'a foreign script': [LOCAL, 'Origin: http://evil.example'],
};

const HOSTS = [
  'localhost.',
  'localhost6',
  'localhost.localdomain',
  'ip6-localhost',
  '127.1',
  '127.0.1',
  '0x7f.1',
  '0x7f000001',
  '2130706433',
  '0177.0.0.1',
  '0.0.0.0',
  '0',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
  '[0:0:0:0:0:0:0:1]',
  '[::1%25lo]',
  '[::]',
  '127.0.0.1.',
  '127.0.0.1@evil.example',
  'evil.example:127.0.0.1',
  'localhost:80:80',
  'localhost:',
  'localhost#evil.example',
  'localhost%00.evil.example',
  'lo\tcalhost',
  '127.0.0.1 evil.example',
  '１２７.0.0.1',
  '',
];

/** Other spellings of the path to a profile. Most are not ours at all; none may be a way past the check. */
export function paths(base: string): string[] {
  const [, first = '', second = ''] = base.split('/');
  return [
    `${base}/heap`,
    `/${base}/heap`,
    `/${first}//${second}/heap`,
    `${base}//heap`,
    `/.${base}/heap`,
    `/x/..${base}/heap`,
    `/x/..;${base}/heap`,
    `${base}/../${second}/heap`,
    `${base}/%2e%2e/${second}/heap`,
    `${base}/..%2f${second}%2fheap`,
    `/%${first.charCodeAt(0).toString(16)}${first.slice(1)}/${second}/heap`,
    `/${first}%2F${second}%2Fheap`,
    `${base}%2fheap`,
    `${base}/%68eap`,
    `${base}/heap/`,
    `${base}/heap%00`,
    `${base}/heap%0d%0aX-Injected:%201`,
    `${base};x=1/heap`,
    `${base}/heap;x=1`,
    `${base.toUpperCase()}/heap`,
    `${base}heap`,
    `${base}\\heap`,
    `${base}/heap#x`,
    `${base}/heap?gc=1&debug=1`,
    `http://localhost${base}/heap`,
    `http://evil.example${base}/heap`,
    `//evil.example${base}/heap`,
    `${base}/${'a/'.repeat(2000)}heap`,
    base,
    `${base}/`,
  ];
}

/** All of them for one door. */
export function attacks({ base, name }: Door): Attack[] {
  const profile = `${base}/heap`;
  const get = (path: string) => `GET ${path} HTTP/1.1`;
  const rows: Attack[] = [];
  for (const [mark, lines] of Object.entries(MARKS)) {
    for (const path of paths(base)) rows.push({ name: `${path} with ${mark}`, lines: [get(path), ...lines] });
    for (const method of [
      'HEAD',
      'POST',
      'PUT',
      'DELETE',
      'PATCH',
      'OPTIONS',
      'TRACE',
      'QUERY',
      'PROPFIND',
    ]) {
      rows.push({ name: `${method} with ${mark}`, lines: [`${method} ${profile} HTTP/1.1`, ...lines] });
    }
    rows.push({
      name: `POST made a GET with ${mark}`,
      lines: [`POST ${profile} HTTP/1.1`, ...lines, 'X-HTTP-Method-Override: GET', 'Content-Length: 0'],
    });
  }
  for (const host of HOSTS) rows.push({ name: `Host "${host}"`, lines: [get(profile), `Host: ${host}`] });
  // What a page can have a browser post without asking first.
  const posts: Record<string, string[]> = {
    ...MARKS,
    'a form of another site': [LOCAL, 'Origin: null', 'Content-Type: application/x-www-form-urlencoded'],
    'a form of another port': [LOCAL, 'Sec-Fetch-Site: same-site', 'Content-Type: text/plain'],
    ...Object.fromEntries(HOSTS.map((host) => [`Host "${host}"`, [`Host: ${host}`]])),
  };
  for (const [mark, lines] of Object.entries(posts)) {
    for (const route of ['snapshot', 'snapshot?x', 'symbol']) {
      rows.push({
        name: `POST ${route} with ${mark}`,
        lines: [`POST ${base}/${route} HTTP/1.1`, ...lines, 'Content-Length: 0'],
      });
    }
  }
  rows.push(
    { name: 'two Hosts', lines: [get(profile), LOCAL, 'Host: evil.example'] },
    { name: 'two Hosts, the other way round', lines: [get(profile), 'Host: evil.example', LOCAL] },
    { name: 'two Hosts, equal', lines: [get(profile), LOCAL, LOCAL] },
    { name: 'no Host', lines: [get(profile)] },
    { name: 'a Host with a space before the colon', lines: [get(profile), 'Host : localhost'] },
    { name: 'a Host that is folded', lines: [get(profile), 'Host: evil.example', ' localhost'] },
    { name: 'a URL for a proxy', lines: [get(`http://evil.example${profile}`), LOCAL] },
    { name: 'a URL for a proxy, of ours', lines: [get(`http://localhost${profile}`), LOCAL] },
    { name: 'a tunnel', lines: ['CONNECT localhost:80 HTTP/1.1', LOCAL] },
    { name: 'everything at once', lines: ['OPTIONS * HTTP/1.1', LOCAL] },
    {
      name: 'a preflight of another site',
      lines: [
        `OPTIONS ${profile} HTTP/1.1`,
        LOCAL,
        'Origin: http://evil.example',
        'Access-Control-Request-Method: GET',
        'Access-Control-Request-Private-Network: true',
      ],
    },
    {
      name: 'a WebSocket of another site',
      lines: [
        get(profile),
        LOCAL,
        'Origin: http://evil.example',
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
      ],
    },
    {
      name: 'two lengths',
      lines: [`POST ${profile} HTTP/1.1`, LOCAL, 'Content-Length: 0', 'Transfer-Encoding: chunked'],
    },
    { name: 'a header of 20 KB', lines: [get(profile), LOCAL, `X-Long: ${'a'.repeat(20_000)}`] },
  );
  if (name !== 'standalone') {
    rows.push(
      { name: 'HTTP/1.0', lines: [`GET ${profile} HTTP/1.0`, LOCAL] },
      { name: 'HTTP/1.0 without a Host', lines: [`GET ${profile} HTTP/1.0`] },
    );
  }
  return rows;
}

/** What came back, if anything of ours did; undefined for a refusal, somebody else's answer or a closed connection. */
async function gotIn({ port }: Door, { name, lines }: Attack): Promise<string | undefined> {
  let answer;
  try {
    answer = await rawRequest(port, lines);
  } catch {
    return undefined;
  }
  const { status, headers, body } = answer;
  const refused =
    Number.isNaN(status) || [400, 401, 403, 404, 405, 413, 414, 429, 431, 501, 505].includes(status);
  const ours = body.startsWith('\x1f\x8b') || /heap profile:|Types of profiles|goroutines/.test(body);
  const shared = Object.keys(headers).some((header) => header.startsWith('access-control-'));
  const told = body.includes(process.cwd()) || body.includes(process.version) || /\n\s+at /.test(body);
  // A redirect to the slash says nothing; an app's own answer to OPTIONS is the app's.
  const harmless = refused || (lines[0]?.startsWith('OPTIONS') && [200, 204].includes(status) && !ours);
  if (harmless && !ours && !shared && !told && headers['x-injected'] === undefined) return undefined;
  return `${name}: ${status} ${body.slice(0, 60)}`;
}

/** Tries them, and tells which got in. */
export async function sendAll(door: Door, rows: Attack[]): Promise<string[]> {
  const entered: string[] = [];
  for (let start = 0; start < rows.length; start += 20) {
    const results = await Promise.all(rows.slice(start, start + 20).map((attack) => gotIn(door, attack)));
    entered.push(...results.filter((result) => result !== undefined));
  }
  return entered;
}
