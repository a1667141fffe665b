// The longest pause of the event loop that profiling itself causes, side by side. Prints tables; asserts nothing.
//   node bench/pause.mjs [--rounds 3] [--seconds 10] [--only nothing,loopprof]
// The Node that runs this runs the contestants too.
import { fork } from 'node:child_process';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { contestants } from './pause/contestants.mjs';
import { cell, median, printTable, spread } from './pause/table.mjs';

const child = fileURLToPath(new URL('./pause/child.mjs', import.meta.url));

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '10' },
    only: { type: 'string', default: Object.keys(contestants).join() },
  },
});
const rounds = positiveInteger('rounds');
const seconds = positiveInteger('seconds');
const names = Object.keys(contestants).filter(
  (name) => name === 'nothing' || values.only.split(',').includes(name),
);

function positiveInteger(option) {
  const number = Number(values[option]);
  if (Number.isInteger(number) && number > 0) return number;
  console.error(`--${option} must be a positive integer`);
  process.exit(2);
}

/** Runs one child to its end and gives its report. */
function run(name, measurement) {
  return new Promise((resolve, reject) => {
    const env = { ...process.env };
    // What else NODE_OPTIONS preloads would be measured too.
    delete env.NODE_OPTIONS;
    const running = fork(child, [name, measurement, String(seconds * 1000)], { execArgv: [], env });
    let report;
    running.on('message', (message) => {
      if (!message.fetch) {
        report = message;
        return;
      }
      fetchCapture(message.fetch).then(
        (length) => running.send({ length }),
        (error) => {
          running.kill();
          reject(error);
        },
      );
    });
    running.once('error', reject);
    running.once('close', (code, signal) => {
      if (report) resolve(report);
      else reject(new Error(`${name}, ${measurement}: ended with ${signal ?? code} and no report`));
    });
  });
}

/** The length of the profile at that URL, which must be one. */
async function fetchCapture(url) {
  const response = await fetch(url);
  const bytes = Buffer.from(await response.arrayBuffer());
  if (!response.ok) throw new Error(`${url}: ${response.status} ${bytes}`);
  if (gunzipSync(bytes).length < 1000) throw new Error(`${url}: an empty profile`);
  return bytes.length;
}

const measurements = ['boot', 'warm', 'capture'];
const reports = Object.fromEntries(
  names.map((name) => [name, Object.fromEntries(measurements.map((measurement) => [measurement, []]))]),
);

console.log(
  `Node ${process.version}, ${process.platform} ${process.arch}, ${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'})`,
);
for (let round = 1; round <= rounds; round++) {
  for (const measurement of measurements) {
    // Every round begins with another one: whatever the machine does meanwhile hits all of them.
    for (const name of [...names.slice(round % names.length), ...names.slice(0, round % names.length)]) {
      process.stderr.write(`round ${round} of ${rounds}: ${contestants[name].title}, ${measurement}\n`);
      reports[name][measurement].push(await run(name, measurement));
    }
  }
}

const row = (title, measurement, value) => [
  title,
  ...names.map((name) => cell(spread(reports[name][measurement].map(value)))),
];
const cpuPerUnit = ({ cpuMs, units }) => cpuMs / units;
const baseline = median(reports.nothing.capture.map(cpuPerUnit));

console.log(`
How to read it: ms for which the loop could do nothing else; median (lowest-highest) of ${rounds} rounds, each in fresh processes.
"nothing" is the same work without a profiler: what stands there is the machine's noise and the collector's, not a profiler's.
(a) loads and starts the profiler, which always-on ones do once. (b) is everything from asking for ${seconds} s of CPU profile to
having its bytes; an always-on profiler has been running since boot, the others start and stop for it.
`);
printTable(
  ['', ...names.map((name) => contestants[name].title)],
  [
    row('(a) start() at boot: longest pause', 'boot', ({ pause }) => pause),
    row('(a) start() with the compiler warm: longest pause', 'warm', ({ pause }) => pause),
    row(`(b) one ${seconds} s capture: longest pause`, 'capture', ({ pause }) => pause),
    row('    without GC and waiting for a CPU', 'capture', ({ ownPause }) => ownPause),
    row('    longest turn of the loop, work and GC included', 'capture', ({ longestTurn }) => longestTurn),
    row('    p99 of all turns', 'capture', ({ p99Turn }) => p99Turn),
    row('    CPU per unit of work, nothing = 1', 'capture', (report) => cpuPerUnit(report) / baseline),
    row('    kB of profile', 'capture', ({ bytes }) => bytes / 1000),
  ],
);

console.log('\nThe calls themselves, in ms:\n');
printTable(
  ['', 'where', 'calls', 'median', 'longest per run'],
  names.flatMap((name) =>
    measurements.flatMap((measurement) => {
      const runs = reports[name][measurement].map(({ calls }) => calls);
      const kinds = [...new Set(runs.flat().map(({ call }) => call))];
      return kinds.map((kind) => {
        const perRun = runs.map((calls) => calls.filter(({ call }) => call === kind).map(({ ms }) => ms));
        const longest = perRun.filter((all) => all.length > 0).map((all) => Math.max(...all));
        const all = perRun.flat();
        return [
          `${contestants[name].title}: ${kind}`,
          measurement,
          String(all.length),
          median(all).toFixed(1),
          cell(spread(longest)),
        ];
      });
    }),
  ),
);

if (reports.loopprof) {
  const [ours, floor] = [reports.loopprof, reports.nothing].map(({ capture }) => ({
    pause: median(capture.map(({ pause }) => pause)).toFixed(1),
    ownPause: median(capture.map(({ ownPause }) => ownPause)).toFixed(1),
  }));
  console.log(`
loopprof, one ${seconds} s capture: longest pause ${ours.pause} ms, ${ours.ownPause} ms without GC and waiting for a CPU; nothing: ${floor.pause}
and ${floor.ownPause} ms. What profiling causes must stay at or under 10 ms.`);
}
