// A program that puts itself in its own place as many times as JSON.parse(argv[2]).left says, with a profiler if there is a `config`;
// or, if `fails`, tries to put there what does not exist, and prints as JSON what the profiler is worth after that.
const { channel } = require('node:diagnostics_channel');
const { runInThisContext } = require('node:vm');

const plan = JSON.parse(process.argv[2]);

// Compiled anew each time: V8 may lack the names of what was optimised before a profiler began.
const compileWork = () =>
  runInThisContext(
    `(function theWork(ms) {
      for (const endsAt = performance.now() + ms; performance.now() < endsAt; )
        for (let n = 0; n < 500; n++) Math.sqrt(n);
    })`,
    { filename: 'the-work.js' },
  );

async function main() {
  const logged = [];
  const at = (level) => (details, message) => logged.push(`${level}: ${message}`);
  const logger = { debug() {}, info() {}, warn: at('warn'), error: at('error') };
  let profiler;
  if (plan.config) {
    const { Profiler } = require('@loopprof/core');
    profiler = new Profiler({ httpAddr: 'localhost:0', ...plan.config }, logger);
    await profiler.start();
  }
  compileWork()(20);
  if (plan.fails) await fail(profiler, logged);
  else if (plan.left > 0) {
    const argument = JSON.stringify({ ...plan, left: plan.left - 1 });
    process.execve(process.execPath, [process.execPath, ...process.execArgv, __filename, argument]);
  } else {
    console.log('the last');
    process.exit(5);
  }
}

async function fail(profiler, logged) {
  let error;
  try {
    process.execve('/nowhere', ['nowhere']);
  } catch (thrown) {
    error = thrown.code;
    // While it stands still, whoever asks gets what there is.
    profiler.reportMetrics();
  }
  const timer = setInterval(compileWork(), 40, 30);
  const body = await (await fetch(`${profiler.address}profile?seconds=1`)).arrayBuffer();
  clearInterval(timer);
  const { status } = await fetch(`${profiler.address}stalls`);
  await profiler.stop();
  const watched = channel('process.execve').hasSubscribers;
  console.log(
    JSON.stringify({ error, profile: Buffer.from(body).toString('base64'), status, logged, watched }),
  );
}
main();
