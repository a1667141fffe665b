// What counting all allocations costs, on the Node that runs this: `npm run build && node bench/allocations.mjs`. Prints a table.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { spawnSync } from 'node:child_process';

const require = createRequire(import.meta.url);
const INTERVAL_BYTES = 524_288;
const LITTER_GB = 8;
const MODES = ['off', 'live', 'all', 'both'];

function record(n) {
  return new Array(126).fill(n + 0.5);
}
function litter(gigabytes) {
  let sum = 0;
  for (let n = 0; n < gigabytes * 1024 * 1024; n++) sum += record(n).length;
  return sum;
}
const timed = (work) => {
  const startedMs = performance.now();
  work();
  return performance.now() - startedMs;
};

function measure(mode) {
  const { selectEngine } = require('../packages/core/dist/engine/select.js');
  const { heap } = selectEngine('auto');
  if (mode === 'both' && !heap.countsBoth) return undefined;
  const kept = Array.from({ length: 100_000 }, (_, n) => record(n));
  litter(0.5);
  const options = { intervalBytes: INTERVAL_BYTES, stackDepth: 128, counting: mode };
  if (mode !== 'off') heap.start(options);
  const cpuBefore = process.cpuUsage();
  litter(LITTER_GB);
  const { user, system } = process.cpuUsage(cpuBefore);
  const result = { mode, msPerGB: (user + system) / 1000 / LITTER_GB };
  if (mode === 'off') return result;
  // 100 000 samples, as many as are kept in one run.
  heap.stop();
  const rssBefore = process.memoryUsage.rss();
  heap.start({ ...options, intervalBytes: 16_384 });
  litter(1.6);
  result.sizeMB = (process.memoryUsage.rss() - rssBefore) / 1e6;
  const read = () => heap.read((root) => root.children.length);
  result.readMs = Math.min(timed(read), timed(read), timed(read));
  result.anewMs = timed(() => {
    heap.stop();
    heap.start(options);
  });
  heap.stop();
  return { ...result, kept: kept.length };
}

const asked = process.argv[2];
if (asked !== undefined) {
  console.log(JSON.stringify(measure(asked) ?? null));
} else {
  console.log(
    `Node ${process.version}: medians of 3 runs; a heap of 100 MB, ${LITTER_GB} GB of short-lived arrays of 1 KiB`,
  );
  console.log(
    '| counted | CPU ms per GB allocated | after 100 000 samples: read, ms | begin anew, ms | MB |',
  );
  console.log('|---|---|---|---|---|');
  const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
  const runs = new Map(MODES.map((mode) => [mode, []]));
  for (let round = 0; round < 3; round++) {
    for (const mode of MODES) {
      const { stdout, stderr, status } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), mode], {
        encoding: 'utf8',
      });
      if (status !== 0) throw new Error(stderr);
      const result = JSON.parse(stdout);
      if (result) runs.get(mode).push(result);
    }
  }
  for (const [mode, results] of runs) {
    if (results.length === 0) continue;
    const of = (field, digits) =>
      results[0][field] === undefined ? '' : median(results.map((each) => each[field])).toFixed(digits);
    console.log(
      `| ${mode} | ${of('msPerGB', 0)} | ${of('readMs', 1)} | ${of('anewMs', 1)} | ${of('sizeMB', 0)} |`,
    );
  }
}
