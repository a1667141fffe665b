// A debugger that attaches to argv[2] (ws://…) and has the program stop wherever line argv[4] (from 0) of a file that ends in argv[3] is
// run. Prints a line when that is set, and one for each time the program has stopped, with which it goes on.
const { WebSocket } = globalThis;
const [, , url, file, line] = process.argv;
const socket = new WebSocket(url);
let lastId = 0;
const post = (method, params = {}) => socket.send(JSON.stringify({ id: ++lastId, method, params }));

socket.addEventListener('open', () => {
  post('Debugger.enable');
  post('Debugger.setBreakpointByUrl', { urlRegex: `.*${file}$`, lineNumber: Number(line) });
});
socket.addEventListener('message', ({ data }) => {
  const { id, result, method } = JSON.parse(data);
  if (id === 2) console.log(`set ${result.locations.length}`);
  if (method !== 'Debugger.paused') return;
  console.log('stopped');
  post('Debugger.resume');
});
