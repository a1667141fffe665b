// Takes a snapshot before, while and after it may not write to its directory; prints what came of it and what was logged. Runs as
// nobody if it is started as root, who may always write. argv[2]: a folder that anybody may write to
const { chmodSync, mkdirSync, readdirSync } = require('node:fs');
const { join } = require('node:path');
const { Profiler } = require('@loopprof/core');

if (process.getuid() === 0) {
  process.setgid(65_534);
  process.setuid(65_534);
}

const profileDir = join(process.argv[2], 'profiles');
const closed = join(process.argv[2], 'closed');
const log = [];
const at = (level) => (_details, message) => void log.push({ level, message });

async function main() {
  mkdirSync(closed, { mode: 0o500 });
  const logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  const profiler = new Profiler({ enableHTTP: false, profileDir }, logger);
  const refused = new Profiler({ enableHTTP: false, profileDir: join(closed, 'profiles') });
  const outcome = [];
  const attempt = (promise) =>
    promise.then(
      () => outcome.push('done'),
      ({ code, message }) => outcome.push(`${code}: ${message}`),
    );

  await attempt(refused.start());
  await profiler.start();
  await attempt(profiler.captureSnapshot());
  chmodSync(profileDir, 0o500);
  await attempt(profiler.captureSnapshot());
  await attempt(profiler.captureSnapshot());
  const left = readdirSync(profileDir).length;
  chmodSync(profileDir, 0o700);
  await attempt(profiler.captureSnapshot());
  chmodSync(profileDir, 0o500);
  await attempt(profiler.stop());
  console.log(JSON.stringify({ outcome, left, log }));
}
main();
