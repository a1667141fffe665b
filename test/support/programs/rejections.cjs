// Measures waits that end in rejections, with somebody to handle them and without; tells what reached whom, and ends by itself.
const { measureWait, Profiler } = require('@loopprof/core');

class Special extends Promise {}
const later = (Kind, message) =>
  new Kind((_resolve, reject) => setTimeout(() => reject(new Error(message)), 20));

process.on('unhandledRejection', (error) => console.log(`unhandled ${error.message}`));

new Profiler({ enableHTTP: false }).start().then(async () => {
  for (const [Kind, name] of [
    [Promise, 'plain'],
    [Special, 'special'],
  ])
    await measureWait('lock', () => later(Kind, name)).catch(({ message }) =>
      console.log(`handled ${message}`),
    );
  measureWait('lock', () => later(Promise, 'plain'));
  await new Promise((resolve) => setTimeout(resolve, 50));
  measureWait('lock', () => later(Special, 'special'));
  measureWait('lock', () => new Promise(() => {}));
});
