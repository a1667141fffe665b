// A debugger: attaches to argv[2] (ws://…), profiles, pauses for argv[3] ms, resumes, evaluates, and goes. Prints what it saw, as JSON.
const { WebSocket } = globalThis;
const socket = new WebSocket(process.argv[2]);
const waiting = new Map();
const seen = new Set();
let lastId = 0;

socket.addEventListener('message', ({ data }) => {
  const { id, result, error, method } = JSON.parse(data);
  if (method) seen.add(method);
  waiting.get(id)?.(error ?? result);
  waiting.delete(id);
});
await new Promise((resolve) => socket.addEventListener('open', resolve));

function post(method, params = {}) {
  const id = ++lastId;
  socket.send(JSON.stringify({ id, method, params }));
  return new Promise((resolve) => waiting.set(id, resolve));
}
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

await post('Profiler.enable');
await post('Profiler.start');
await post('Debugger.enable');
await sleep(1200);
const { profile } = await post('Profiler.stop');
await post('Debugger.pause');
for (let waited = 0; !seen.has('Debugger.paused') && waited < 5000; waited += 20) await sleep(20);
await sleep(Number(process.argv[3] ?? 300));
await post('Debugger.resume');
const evaluated = await post('Runtime.evaluate', { expression: '6 * 7' });
socket.close();
console.log(
  JSON.stringify({
    profiled: profile.nodes.some(({ callFrame }) => callFrame.functionName === 'sixtyPercent'),
    paused: seen.has('Debugger.paused'),
    evaluated: evaluated.result.value,
  }),
);
