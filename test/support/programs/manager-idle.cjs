// Uses a ProfilingManager without a profile; prints what then keeps the process alive. argv[2]: profileDir
const { ProfilingManager } = require('@loopprof/core');

async function main() {
  const manager = new ProfilingManager({ profileDir: process.argv[2] });
  manager.getMetrics();
  await new Promise((resolve) => setTimeout(resolve, 100));
  const handles = process.getActiveResourcesInfo().filter((name) => !/Pipe|TTY/.test(name));
  await manager.stop();
  console.log(JSON.stringify(handles));
}
main();
