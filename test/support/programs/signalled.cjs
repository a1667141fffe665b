// Sends itself argv[3] signals, one after the other, with a rule that each of them meets, and prints a line of JSON for every snapshot,
// every line of the log, and what lies in the folder after every snapshot and every hundredth signal. argv[2]: config
const { once } = require('node:events');
const { existsSync, readdirSync, readFileSync, statSync, writeSync } = require('node:fs');
const { join } = require('node:path');
const { Profiler } = require('@loopprof/core');

const config = JSON.parse(process.argv[2]);
const signals = Number(process.argv[3]);

const print = (line) => writeSync(1, `${JSON.stringify(line)}\n`);
const at = (level) => (_details, message) => print({ level, message });
const logger = { debug: () => {}, info: at('info'), warn: at('warn'), error: at('error') };

/** What is being written or removed meanwhile goes and comes while one looks. */
function unlessGone(look, otherwise) {
  try {
    return look();
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    return otherwise;
  }
}

const sizeOf = (path) => unlessGone(() => statSync(path).size, 0);
const sizeBelow = (folder) =>
  unlessGone(() => readdirSync(folder), []).reduce((sum, name) => sum + sizeOf(join(folder, name)), 0);

/** All bytes, of what is not finished too, and the snapshots, of which nobody removes one while this looks. */
function look() {
  const names = existsSync(config.profileDir) ? readdirSync(config.profileDir).sort() : [];
  const bytes = names.reduce((sum, name) => sum + sizeBelow(join(config.profileDir, name)), 0);
  const snapshots = names.filter((name) => !name.startsWith('.'));
  const whole = unlessGone(
    () =>
      snapshots.every((name) => {
        const files = readdirSync(join(config.profileDir, name));
        const manifest = JSON.parse(readFileSync(join(config.profileDir, name, 'manifest.json'), 'utf8'));
        const triggers = name.includes('-signal-') ? 1 : 0;
        return (
          files.length === Object.keys(manifest.files).length + 1 && manifest.triggers.length === triggers
        );
      }),
    undefined,
  );
  print({ seen: { snapshots, bytes, whole } });
}

async function main() {
  const profiler = new Profiler(config, logger);
  profiler.on('snapshot', ({ directory }) => {
    print({ taken: directory });
    look();
  });
  await profiler.start();
  // Waiting for a signal does not.
  const alive = setInterval(() => {}, 60_000);
  const beganMs = performance.now();
  for (let n = 1; n <= signals; n++) {
    process.kill(process.pid, 'SIGUSR2');
    await once(process, 'SIGUSR2');
    if (n % 100 === 0) look();
  }
  const tookMs = performance.now() - beganMs;
  // In its turn after all that have fired.
  await profiler.captureSnapshot();
  print({ tookMs });
  clearInterval(alive);
  await profiler.stop();
}
main();
