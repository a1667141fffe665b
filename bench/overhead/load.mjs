// Asks for one URL over and over on some connections that are kept open, one request at a time on each, and gives the number of
// answers. `wrk` does it where there is one; else this file, run by itself: argv is the URL, the connections, the seconds.
import { execFile, spawnSync } from 'node:child_process';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

const works = (command, ...args) => !spawnSync(command, args, { stdio: 'ignore' }).error;
const hasWrk = works('wrk', '-v');

/** Whether processes can be kept to one core. */
export const canPin = works('taskset', '-V');

/** Runs a command on that core alone, where that can be done. */
export const pinned = (core, command, args) =>
  canPin ? ['taskset', ['-c', String(core), command, ...args]] : [command, args];

export async function load(url, { core, connections, seconds }) {
  const args = hasWrk
    ? ['-t1', `-c${connections}`, `-d${seconds}s`, url]
    : [fileURLToPath(import.meta.url), url, String(connections), String(seconds)];
  const { stdout } = await run(...pinned(core, hasWrk ? 'wrk' : process.execPath, args));
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1]);
  if (!(requests > 0) || /Non-2xx|Socket errors/.test(stdout)) throw new Error(`${url}: ${stdout}`);
  return requests;
}

async function generate(url, connections, seconds) {
  const { hostname, port, pathname } = new URL(url);
  const request = `GET ${pathname} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`;
  let answers = 0;
  const endsAt = performance.now() + seconds * 1000;
  const drive = () =>
    new Promise((resolve, reject) => {
      const socket = connect(port, hostname).setNoDelay(true).setEncoding('latin1');
      let received = '';
      let length = 0;
      socket.on('error', reject);
      socket.on('close', resolve);
      socket.on('connect', () => socket.write(request));
      socket.on('data', (chunk) => {
        received += chunk;
        // All answers are equally long but for the first, which tells how long.
        if (length === 0) length = lengthOf(received);
        if (length === 0 || received.length < length) return;
        if (!received.startsWith('HTTP/1.1 200')) reject(new Error(received));
        answers += 1;
        received = '';
        if (performance.now() < endsAt) socket.write(request);
        else socket.destroy();
      });
    });
  await Promise.all(Array.from({ length: connections }, drive));
  console.log(`${answers} requests in ${seconds}s`);
}

/** Length of the first answer in it, head and body; 0 while that cannot be told. */
function lengthOf(text) {
  const head = text.indexOf('\r\n\r\n');
  const body = /\r\ncontent-length: (\d+)\r\n/i.exec(text)?.[1];
  return head < 0 || body === undefined ? 0 : head + 4 + Number(body);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [url, connections, seconds] = process.argv.slice(2);
  await generate(url, Number(connections), Number(seconds));
}
