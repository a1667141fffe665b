// A program with work of its own, which ends as JSON.parse(argv[2]) says: { profiled, until: 'timer' | 'stdin', ending }. Prints the
// index page's URL, or that there is none.
const { profiled, until, ending } = JSON.parse(process.argv[2]);

const ENDINGS = {
  'on its own': () => {},
  'with process.exitCode': () => {
    process.exitCode = 7;
  },
  'by process.exit()': () => {
    process.exit(3);
  },
  'by an exception': () => {
    throw new Error('the app failed');
  },
  'by a rejection': () => {
    void Promise.reject(new Error('the app failed'));
  },
  'by SIGTERM': () => {
    process.kill(process.pid, 'SIGTERM');
    setTimeout(() => {}, 60_000);
  },
};

async function main() {
  let address = 'no profiler';
  if (profiled) {
    const { Profiler } = require('@loopprof/core');
    const profiler = new Profiler({ httpAddr: 'localhost:0' });
    await profiler.start();
    address = profiler.address;
  }
  console.log(address);
  if (until === 'stdin') process.stdin.resume().once('end', ENDINGS[ending]);
  else setTimeout(ENDINGS[ending], 200);
}
main();
