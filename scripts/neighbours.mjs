// Loopprof beside the real profilers of others, in both orders: does everybody see theWork(), and are exit code and output those of
// the app without us? Their packages are no dependencies of this repository: they are installed into .cache when this is run.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { Profile } from 'pprof-format';

const root = fileURLToPath(new URL('../', import.meta.url));
const folder = join(root, '.cache/neighbours');
const app = fileURLToPath(new URL('neighbours/app.cjs', import.meta.url));

const dependencies = {
  'dd-trace': '6.21.0',
  '@pyroscope/nodejs': '0.6.4',
  '@platformatic/flame': '1.7.0',
  '@sentry/node': '11.12.0',
  '@sentry/profiling-node': '11.1.0',
};

/** How each is told by its environment what to do, and how it is started before everything else. */
const NEIGHBOURS = {
  'dd-trace': {
    env: ({ sink }) => ({
      DD_PROFILING_ENABLED: 'true',
      DD_PROFILING_EXPORTERS: 'file',
      DD_PROFILING_PPROF_PREFIX: 'theirs-',
      DD_PROFILING_UPLOAD_PERIOD: '2',
      DD_TRACE_AGENT_URL: sink,
      DD_TRACE_STARTUP_LOGS: 'false',
      DD_INSTRUMENTATION_TELEMETRY_ENABLED: 'false',
      DD_REMOTE_CONFIGURATION_ENABLED: 'false',
    }),
    preload: 'dd-trace/init',
  },
  '@pyroscope/nodejs': {},
  '@platformatic/flame': {
    env: () => ({ FLAME_AUTO_START: 'true' }),
    preload: '@platformatic/flame/preload',
  },
  '@sentry/profiling-node': {},
};

function install() {
  if (existsSync(join(folder, 'node_modules', '@sentry/profiling-node'))) return;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, dependencies }));
  const flags = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'];
  execFileSync(process.platform === 'win32' ? 'npm.cmd' : 'npm', flags, { cwd: folder, stdio: 'inherit' });
}

/** What is posted to it is kept. */
async function startSink() {
  const posted = [];
  const server = createServer((req, res) => {
    const pieces = [];
    req.on('data', (piece) => pieces.push(piece));
    req.on('end', () => {
      posted.push(Buffer.concat(pieces));
      res.setHeader('content-type', 'application/json').end('{}');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { posted, url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/** The bytes, and what is compressed in them. */
function unpacked(bytes) {
  const found = [bytes];
  const unpackers = [
    [Buffer.from([0x1f, 0x8b, 8]), gunzipSync],
    [Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), zstdDecompressSync],
  ];
  for (const [magic, unpack] of unpackers) {
    for (let at = bytes.indexOf(magic); at >= 0; at = bytes.indexOf(magic, at + 1)) {
      for (const end of [bytes.length, bytes.indexOf('\r\n--', at)]) {
        try {
          if (end > at) found.push(unpack(bytes.subarray(at, end)));
        } catch {
          // It looked like the beginning of something compressed.
        }
      }
    }
  }
  return found;
}

/** What a profile is of that has samples of theWork(): CPU or heap; undefined for anything else. */
function kindOf(bytes) {
  if (!bytes.includes('theWork')) return undefined;
  if (bytes.includes('"profile_chunk"')) return 'CPU';
  try {
    const { sampleType, sample, location, function: functions, stringTable } = Profile.decode(bytes);
    const text = (at) => stringTable.strings[Number(at)];
    const ids = new Set(
      functions.filter(({ name }) => text(name).includes('theWork')).map(({ id }) => Number(id)),
    );
    const places = new Set(
      location.filter(({ line }) => ids.has(Number(line[0]?.functionId))).map(({ id }) => Number(id)),
    );
    if (!sample.some(({ locationId }) => locationId.some((id) => places.has(Number(id))))) return undefined;
    return sampleType.some(({ type }) => text(type) === 'wall') ? 'CPU' : 'heap';
  } catch {
    return undefined;
  }
}

async function run(neighbour, order) {
  const sink = await startSink();
  const room = mkdtempSync(join(tmpdir(), 'loopprof-neighbours-'));
  const { env = () => ({}), preload } = NEIGHBOURS[neighbour];
  const from = join(folder, 'package.json');
  const preloaded = order.includes('preloaded');
  const plan = {
    neighbour: preloaded ? 'preloaded' : neighbour,
    order: order.replace('preloaded, ', ''),
    from,
    sink: sink.url,
  };
  const nodeArgs = preloaded ? ['--require', join(folder, 'node_modules', preload)] : [];
  const child = spawn(process.execPath, [...nodeArgs, app, JSON.stringify(plan)], {
    cwd: room,
    env: { ...process.env, NODE_OPTIONS: '', ...env({ sink: sink.url }) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += String(text)));
  const [code, signal] = await once(child, 'close');
  sink.close();
  const files = readdirSync(room).filter((file) => file !== 'ours.json' && file !== 'profiles');
  const theirs = [...sink.posted, ...files.map((file) => readFileSync(join(room, file)))];
  const ours = existsSync(join(room, 'ours.json'))
    ? JSON.parse(readFileSync(join(room, 'ours.json'), 'utf8'))
    : {};
  rmSync(room, { recursive: true, force: true });
  const kinds = theirs.flatMap(unpacked).map(kindOf).filter(Boolean);
  return { exit: `${code ?? signal}`, output, ours, theirs: [...new Set(kinds)].sort().join(' and ') };
}

/** Without what differs between any two runs. */
const plain = (output) => output.replace(/\d+/g, 'N').replace(/\S*loopprof-neighbours-\S*/g, '…');

install();
const only = process.argv.slice(2);
let failed = 0;
for (const [neighbour, { preload }] of Object.entries(NEIGHBOURS)) {
  if (only.length > 0 && !only.includes(neighbour)) continue;
  for (const way of preload ? ['', 'preloaded, '] : ['']) {
    const alone = await run(neighbour, `${way}alone`);
    for (const order of way ? ['after them'] : ['before them', 'after them']) {
      const both = await run(neighbour, `${way}${order}`);
      const { cpu, heap, engine, logged = [] } = both.ours;
      const problems = [
        both.exit !== alone.exit && `exit ${both.exit} instead of ${alone.exit}`,
        plain(both.output) !== plain(alone.output) &&
          `another output:\n${both.output}\ninstead of:\n${alone.output}`,
        cpu !== 'theWork' && `our CPU profile: ${cpu}`,
        heap !== 'theWork' && `our heap profile: ${heap}`,
        (both.theirs !== alone.theirs || both.theirs === '') &&
          `their profiles of theWork: ${both.theirs}; without us: ${alone.theirs}`,
      ].filter(Boolean);
      if (problems.length > 0) failed += 1;
      const result = problems.length > 0 ? `FAILED\n  ${problems.join('\n  ')}` : 'well';
      const says = logged.map((line) => `\n  ${line}`).join('');
      console.log(
        `${neighbour}, ${way}we come ${order} (${engine}; their profiles: ${both.theirs}): ${result}${says}`,
      );
    }
  }
}
process.exitCode = failed > 0 ? 1 : 0;
