// A module from a `data:` URL, whose URL is its source: it burns, blocks, allocates and has timers pending. Prints the index page's
// URL. argv[2]: the configuration as JSON.
import { Profiler } from '@loopprof/core';

const SOURCE = `
// the source itself
export function burnInData(durationMs) {
  const endsAt = performance.now() + durationMs;
  let sum = 0;
  while (performance.now() < endsAt) for (let n = 0; n < 2000; n++) sum += Math.sqrt(n);
  return sum;
}
const kept = [];
export function keepInData() {
  kept.push(Array.from({ length: 20_000 }, (_, n) => ({ n })));
  if (kept.length > 10) kept.shift();
}
export function waitInData() {
  setTimeout(() => {}, 60_000);
}
`;

const profiler = new Profiler({ httpAddr: 'localhost:0', ...JSON.parse(process.argv[2] ?? '{}') });
await profiler.start();
const { burnInData, keepInData, waitInData } = await import(
  `data:text/javascript;charset=utf-8,${encodeURIComponent(SOURCE)}`
);
console.log(profiler.address);
function turn() {
  burnInData(80);
  keepInData();
  waitInData();
  // Some turns in every second, which is as much as has to be seen.
  setTimeout(turn, 120);
}
turn();
