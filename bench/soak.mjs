/**
 * An hour's worth of trouble in minutes: load on an app with and without loopprof, scrapes every second, clients that hang up, stalls,
 * garbage, a sidecar that is killed, a folder that cannot be written to and then can. Prints what was answered, whether memory grew, and what is
 * left after `stop()`.
 *
 *   node bench/soak.mjs [--seconds 120]
 *
 * Every client sends the same requests in both runs, one after another at a pace that takes about that long, so that the answers
 * can be compared one to one.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, writeFileSync, mkdirSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '120' } } });
const seconds = Number(values.seconds);
const CLIENTS = 6;
const PACE_MS = 50;
const MIB = 1024 * 1024;
const app = fileURLToPath(new URL('soak/app.cjs', import.meta.url));

/** What one client asks for, in turn: mostly small things, now and then trouble. Every seventh request hangs up. */
const PATHS = [
  ...Array(40).fill('/hello/ada'),
  '/wait/30',
  '/litter/20000',
  '/fail',
  '/stall/80',
  '/hello/bob',
];

const SCRAPES = ['profile?seconds=1', 'heap', 'block', 'requests', 'runtime', 'stalls', 'gc', ''];

function fetchOnce(url, { agent, hangUpAfterMs } = {}) {
  return new Promise((resolve) => {
    const request = get(url, { agent }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => {
        const { statusCode: status } = response;
        resolve(status < 500 ? { status } : { status, text: String(Buffer.concat(chunks)).slice(0, 200) });
      });
      response.on('error', () => resolve({ status: 'cut off' }));
    });
    request.on('error', (error) => resolve({ status: error.code }));
    if (hangUpAfterMs !== undefined) {
      setTimeout(() => {
        request.destroy();
        resolve({ status: 'hung up' });
      }, hangUpAfterMs);
    }
  });
}

async function json(url) {
  return (await fetch(url)).json();
}

/** Slope of a line through the points, per minute. */
function slopePerMinute(points) {
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / points.length;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / points.length;
  const up = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  const down = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  return (up / down) * 60_000;
}

async function soak(mode) {
  const room = mkdtempSync(path.join(tmpdir(), 'loopprof-soak-'));
  const profiles = path.join(room, 'profiles');
  const child = spawn(process.execPath, ['--expose-gc', app, mode, profiles], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (chunk) => (stderr += chunk));
  const exit = once(child, 'exit');
  try {
    const [line] = await once(createInterface({ input: child.stdout }), 'line');
    const { url, pprof, before } = JSON.parse(line);
    const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS * 2 });
    let ended = false;
    const answers = {};
    const count = (kind, { status }) => {
      const key = `${kind} ${status}`;
      answers[key] = (answers[key] ?? 0) + 1;
    };
    const client = async (id) => {
      for (let turn = 0; turn < (seconds * 1000) / PACE_MS; turn++) {
        const next = sleep(PACE_MS);
        const asked = PATHS[(turn + id * 7) % PATHS.length];
        const hangUpAfterMs = turn % 7 === 6 ? (turn * 13) % 20 : undefined;
        const answer = await fetchOnce(url + asked, { agent, hangUpAfterMs });
        if (hangUpAfterMs === undefined) count(asked.split('/')[1], answer);
        await next;
      }
    };
    const scrapes = {};
    const failures = new Set();
    const scraper = async () => {
      for (let turn = 0; pprof && !ended; turn++) {
        for (const [index, what] of SCRAPES.entries()) {
          const hangUpAfterMs = (turn + index) % 11 === 10 ? 200 : undefined;
          void fetchOnce(pprof + what, { hangUpAfterMs }).then(({ status, text }) => {
            scrapes[status] = (scrapes[status] ?? 0) + 1;
            if (text !== undefined) failures.add(`${status} /${what}: ${text.trim()}`);
          });
        }
        await sleep(1000);
      }
    };
    const troublemaker = async () => {
      for (let turn = 0; !ended; turn++) {
        await sleep(seconds * 20);
        if (turn % 3 === 0) await fetchOnce(`${url}/stall/400`);
        if (turn % 5 === 1) await fetchOnce(`${url}/litter/1500000`);
        if (pprof && turn % 12 === 5) await fetchOnce(`${url}/kill`);
        if (turn % 4 === 2) {
          // Nothing can be written where a file is in the way; and then it can again.
          rmSync(profiles, { recursive: true, force: true });
          writeFileSync(profiles, 'in the way');
        }
        if (turn % 4 === 3) {
          renameSync(profiles, `${profiles}.gone`);
          mkdirSync(profiles);
        }
      }
    };
    const points = [];
    const meter = async () => {
      // What a program takes up in its first third is warmth, not a leak.
      while (!ended) {
        await sleep(seconds * 20);
        points.push([Date.now(), await json(`${url}/measure`)]);
      }
    };
    const trouble = [scraper(), troublemaker(), meter()];
    const startedAt = Date.now();
    await Promise.all(Array.from({ length: CLIENTS }, (_, id) => client(id)));
    const tookMs = Date.now() - startedAt;
    ended = true;
    await Promise.all(trouble);
    agent.destroy();
    await sleep(2000);
    const after = await json(`${url}/stop`);
    await sleep(500);
    const settled = await json(`${url}/measure`);
    const late = points.slice(Math.floor(points.length / 3));
    const slope = (field) => slopePerMinute(late.map(([at, measured]) => [at, measured[field]]));
    const alive = child.exitCode === null;
    return { answers, tookMs, scrapes, failures, points: late, slope, before, after, settled, stderr, alive };
  } finally {
    child.kill('SIGKILL');
    await exit;
    rmSync(room, { recursive: true, force: true });
  }
}

function counts(record) {
  const entries = Object.entries(record).sort(([a], [b]) => a.localeCompare(b));
  return entries.map(([kind, n]) => `${kind}: ${n}`).join(', ');
}

const mib = (sizeBytes) => (sizeBytes / MIB).toFixed(1);

function print(mode, { answers, tookMs, scrapes, failures, points, slope, before, settled, stderr, alive }) {
  console.log(`${mode} loopprof: ${alive ? 'alive' : 'DEAD'}, took ${(tookMs / 1000).toFixed(1)} s`);
  console.log(`  answers    ${counts(answers)}`);
  if (Object.keys(scrapes).length > 0) console.log(`  scrapes    ${counts(scrapes)}`);
  for (const failure of failures) console.log(`             ${failure}`);
  const { heapUsed, rss, external, descriptors, timers } = points.at(-1)[1];
  console.log(`  heap       ${mib(heapUsed)} MiB, ${mib(slope('heapUsed'))} MiB/min after the first third`);
  console.log(
    `  rss        ${mib(rss)} MiB, ${mib(slope('rss'))} MiB/min; off the heap ${mib(external)} MiB`,
  );
  console.log(`  held       descriptors ${descriptors}, timers ${timers}`);
  const left = ['workers', 'descriptors', 'timers', 'listeners'].map(
    (field) => `${field} ${before[field]} -> ${settled[field]}`,
  );
  console.log(`  stop()     ${left.join(', ')} (from before the server listened to after stop())`);
  const lines = stderr.split('\n').filter(Boolean);
  const hangs = lines.filter((line) => line.includes('"loopprof.hang"'));
  const others = lines.filter((line) => !hangs.includes(line));
  console.log(
    `  stderr     ${hangs.length} hang reports, ${others.length} other lines ${others.slice(0, 2).join(' | ')}`,
  );
}

const without = await soak('without');
const withUs = await soak('with');
console.log(`\nSoak of about ${seconds} s each, ${CLIENTS} clients, Node ${process.version}\n`);
print('without', without);
print('with', withUs);
const same = counts(without.answers) === counts(withUs.answers);
console.log(`\nThe answers of both runs are ${same ? 'the same' : 'NOT the same'}.`);
