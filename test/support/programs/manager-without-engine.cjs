// What a ProfilingManager answers where no engine loads: to a start, and to the stop after it.
const { ProfileType, ProfilingManager } = require('@loopprof/core');

async function main() {
  const manager = new ProfilingManager({ engine: 'datadog' });
  const codeOf = ({ code }) => ({ code });
  const answers = [
    await manager.startProfile(ProfileType.CPU, 1000).catch(codeOf),
    await manager.stopProfile(ProfileType.CPU).catch(codeOf),
  ];
  await manager.stop();
  console.log(JSON.stringify(answers));
}
main();
