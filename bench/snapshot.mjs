// How long a full snapshot holds up the event loop of a process that holds much. Prints a table; asserts nothing.
//   node bench/snapshot.mjs [--rounds 3] [--megabytes 500] [--operations 10000]
import { fork } from 'node:child_process';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cell, printTable, spread } from './pause/table.mjs';

const child = fileURLToPath(new URL('./snapshot/child.mjs', import.meta.url));

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    megabytes: { type: 'string', default: '500' },
    operations: { type: 'string', default: '10000' },
  },
});

const TITLES = {
  nothing: 'nothing',
  loopprof: 'loopprof, captureSnapshot()',
  writeHeapSnapshot: 'v8.writeHeapSnapshot()',
};
const names = Object.keys(TITLES);

function run(name) {
  return new Promise((resolve, reject) => {
    const env = { ...process.env };
    delete env.NODE_OPTIONS;
    const running = fork(child, [name, values.megabytes, values.operations], { execArgv: [], env });
    let report;
    running.once('message', (message) => (report = message));
    running.once('close', (code, signal) =>
      report ? resolve(report) : reject(new Error(`${name}: ended with ${signal ?? code} and no report`)),
    );
  });
}

console.log(`Node ${process.version}, ${process.platform} ${process.arch}, ${cpus().length} cores`);
const reports = Object.fromEntries(names.map((name) => [name, []]));
for (let round = 1; round <= Number(values.rounds); round++) {
  for (const name of names) {
    process.stderr.write(`round ${round} of ${values.rounds}: ${TITLES[name]}\n`);
    reports[name].push(await run(name));
  }
}

const all = (name) => reports[name].flatMap(({ snapshots }) => snapshots);
const row = (title, value) => [title, ...names.map((name) => cell(spread(all(name).map(value))))];
const [{ heapUsed, pending }] = reports.nothing;
console.log(`
${Math.round(heapUsed / 1e6)} MB of live heap, ${pending} pending operations; ms, median (lowest-highest) of ${all('nothing').length} snapshots.
`);
printTable(
  ['', ...names.map((name) => TITLES[name])],
  [
    row('longest pause of the loop', ({ pause }) => pause),
    row('    without GC and waiting for a CPU', ({ ownPause }) => ownPause),
    row('whole duration', ({ durationMs }) => durationMs),
    row('kB of files', ({ bytes }) => bytes / 1000),
  ],
);
