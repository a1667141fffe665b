/**
 * An hour's worth of trouble in minutes: load on an app with and without loopprof, scrapes every second, clients that hang up, stalls,
 * garbage, a sidecar that is killed, a disk that is full and then is not. Prints what was answered, whether memory grew, and what is left
 * after `stop()`. The disk is one of its own where it may be mounted; elsewhere a file stands in the way of the folder.
 *
 *   node bench/soak.mjs [--seconds 120] [--only with]
 *
 * Every client sends the same requests in both runs, one after another at a pace that takes about that long, so that the answers
 * can be compared one to one.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '120' }, only: { type: 'string' } },
});
const seconds = Number(values.seconds);
/** Trouble and measurements come this far apart, so that a short run has its share of them. */
const EVERY_MS = Math.min(5000, seconds * 20);
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

/** Slope of a line through the points, per minute, and how far it may be off (two standard errors). */
function slopePerMinute(points) {
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / points.length;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / points.length;
  const up = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  const down = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const slope = up / down;
  const rest = points.reduce((sum, [x, y]) => sum + (y - meanY - slope * (x - meanX)) ** 2, 0);
  const error = Math.sqrt(rest / (points.length - 2) / down);
  return { slope: slope * 60_000, error: 2 * error * 60_000 };
}

/** A disk of four megabytes, or the reason why there can be none. */
function mountDisk(folder) {
  const { status, stderr, error } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', folder], {
    encoding: 'utf8',
  });
  return status === 0 ? undefined : (error?.message ?? stderr.trim());
}

function fill(file) {
  for (let sizeBytes = MIB; sizeBytes >= 1024; sizeBytes /= 2) {
    try {
      for (;;) writeFileSync(file, Buffer.alloc(sizeBytes, 1), { flag: 'a' });
    } catch {
      // The next smaller piece may fit.
    }
  }
}

async function soak(mode) {
  const room = mkdtempSync(path.join(tmpdir(), 'loopprof-soak-'));
  const profiles = path.join(room, 'profiles');
  const ballast = path.join(profiles, 'ballast');
  mkdirSync(profiles, { mode: 0o700 });
  const notMounted = mountDisk(profiles);
  const child = spawn(
    process.execPath,
    ['--expose-gc', '--disable-warning=ExperimentalWarning', app, mode, profiles],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
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
        await sleep(EVERY_MS);
        if (turn % 3 === 0) await fetchOnce(`${url}/stall/400`);
        if (turn % 5 === 1) await fetchOnce(`${url}/litter/1500000`);
        // One that is killed young is replaced later each time. What it frees and takes up again, some 50 MiB in as many seconds,
        // would be the slope of the second half.
        const isEarly = turn * EVERY_MS < seconds * 500;
        if (pprof && isEarly && turn % 24 === 5) await fetchOnce(`${url}/kill`);
        // The next two turns find the disk full: one of them has a stall that a snapshot is wanted of.
        if (turn % 8 === 2) {
          if (notMounted === undefined) fill(ballast);
          else {
            rmSync(profiles, { recursive: true, force: true });
            writeFileSync(profiles, 'in the way');
          }
        }
        if (turn % 8 === 4) {
          if (notMounted === undefined) rmSync(ballast);
          else {
            renameSync(profiles, `${profiles}.gone`);
            mkdirSync(profiles);
          }
        }
      }
    };
    const points = [];
    const meter = async () => {
      while (!ended) {
        await sleep(EVERY_MS);
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
    const stopped = await json(`${url}/stop`);
    await sleep(500);
    const settled = await json(`${url}/held`);
    // What a program takes up while it warms up is no leak.
    const late = points.slice(Math.floor(points.length / 2));
    const slope = (field) => slopePerMinute(late.map(([at, measured]) => [at, measured[field]]));
    const alive = child.exitCode === null;
    const measured = late.at(-1)[1];
    return {
      answers,
      tookMs,
      scrapes,
      failures,
      measured,
      slope,
      before,
      stopped,
      settled,
      stderr,
      alive,
      notMounted,
    };
  } finally {
    child.kill('SIGKILL');
    await exit;
    if (notMounted === undefined) spawnSync('umount', ['--lazy', profiles]);
    rmSync(room, { recursive: true, force: true });
  }
}

function counts(record) {
  const entries = Object.entries(record).sort(([a], [b]) => a.localeCompare(b));
  return entries.map(([kind, n]) => `${kind}: ${n}`).join(', ');
}

const mib = (sizeBytes) => (sizeBytes / MIB).toFixed(1);

function print(mode, run) {
  const { answers, tookMs, scrapes, failures, measured, slope, before, stopped, settled, stderr } = run;
  console.log(`${mode} loopprof: ${run.alive ? 'alive' : 'DEAD'}, took ${(tookMs / 1000).toFixed(1)} s`);
  console.log(`  answers    ${counts(answers)}`);
  if (Object.keys(scrapes).length > 0) {
    console.log(`  scrapes    ${counts(scrapes)}`);
    const disk = run.notMounted === undefined ? '' : ` (no disk of its own: ${run.notMounted})`;
    console.log(`  snapshots  ${measured.snapshots}; lines logged: ${counts(measured.logged)}${disk}`);
  }
  for (const failure of failures) console.log(`             ${failure}`);
  for (const field of ['heapUsed', 'external', 'rss']) {
    const { slope: perMinute, error } = slope(field);
    const grows = `${mib(perMinute)} +- ${mib(error)} MiB/min in the second half`;
    console.log(
      `  ${field.padEnd(10)} ${mib(measured[field])} MiB, ${grows}; ${mib(stopped[field])} MiB after stop()`,
    );
  }
  const left = ['workers', 'threads', 'descriptors', 'timers', 'listeners'].map(
    (field) => `${field} ${before[field]} -> ${settled[field]}`,
  );
  console.log(`  stop()     ${left.join(', ')} (from before the server listened to after stop())`);
  console.log(`             functions that are not what they were: ${settled.replaced.join(', ') || 'none'}`);
  const lines = stderr.split('\n').filter(Boolean);
  const hangs = lines.filter((line) => line.includes('"loopprof.hang"'));
  const others = lines.filter((line) => !hangs.includes(line));
  console.log(
    `  stderr     ${hangs.length} hang reports, ${others.length} other lines ${others.slice(0, 2).join(' | ')}`,
  );
}

const runs = {};
for (const mode of ['without', 'with'].filter((each) => (values.only ?? each) === each)) {
  runs[mode] = await soak(mode);
  if (mode === 'without' || values.only)
    console.log(`\nSoak of about ${seconds} s each, ${CLIENTS} clients, Node ${process.version}\n`);
  print(mode, runs[mode]);
}
if (runs.without && runs.with) {
  const same = counts(runs.without.answers) === counts(runs.with.answers);
  console.log(`\nThe answers of both runs are ${same ? 'the same' : 'NOT the same'}.`);
}
