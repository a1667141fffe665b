// Loopprof and another profiler in one process, started in the order of JSON.parse(argv[2]): { neighbour, order, engine, copy }. Both
// profile theWork(). One that comes 'around us' is loaded first, starts second and ends last. Prints what each saw, as JSON, and ends
// by itself.
const { Session } = require('node:inspector');
const { runInThisContext } = require('node:vm');
const { setTimeout: sleep } = require('node:timers/promises');
const { gunzipSync } = require('node:zlib');
const { Profile } = require('pprof-format');
const { Profiler } = require('@loopprof/core');

const { neighbour, order, engine, copy } = JSON.parse(process.argv[2]);

/** A look or so each time, which makes a dozen in every window; more would only be busier. */
const WORK_MS = 12;
const EVERY_MS = 80;
let workedMs = 0;

const NEIGHBOURS = {
  // What dd-trace, @pyroscope/nodejs and @platformatic/flame use.
  '@datadog/pprof'() {
    const { time, heap } = require('@datadog/pprof');
    time.start({ durationMillis: 60_000, intervalMicros: 10_000 });
    heap.start(65_536, 64);
    return () => {
      const cpu = showsWork(time.stop());
      const memory = heap.profile().sample.length > 0;
      heap.stop();
      return { cpu, memory };
    };
  },
  // As above, where each has a copy of its own.
  'another @datadog/pprof'() {
    const { time } = require(copy);
    time.start({ durationMillis: 60_000, intervalMicros: 10_000, withContexts: true, collectCpuTime: true });
    return () => ({ cpu: showsWork(time.stop()), memory: true });
  },
  'an inspector session'() {
    const session = new Session();
    session.connect();
    const post = (method, params) => {
      let answer;
      session.post(method, params ?? {}, (error, result) => {
        if (error) throw error;
        answer = result;
      });
      return answer;
    };
    post('Profiler.enable');
    post('Profiler.start');
    return () => {
      const { nodes } = post('Profiler.stop').profile;
      session.disconnect();
      return { cpu: nodes.some(({ callFrame }) => callFrame.functionName === 'theWork'), memory: true };
    };
  },
  'console.profile'() {
    const session = new Session();
    session.connect();
    session.post('Profiler.enable');
    const seen = [];
    session.on('Profiler.consoleProfileFinished', ({ params }) => {
      if (params.title === 'the app') seen.push(params.profile);
    });
    console.profile('the app');
    return () => {
      // Without a title it ends the last one that began, which is ours: nothing of ours may depend on it.
      console.profileEnd();
      console.profileEnd('the app');
      session.disconnect();
      const named = seen[0]?.nodes.some(({ callFrame }) => callFrame.functionName === 'theWork');
      return { cpu: named === true, memory: true };
    };
  },
  nothing: () => () => ({ cpu: true, memory: true }),
};

/** Whether it has looked at theWork() for much of the time that it ran: on a busy machine V8's sampling thread comes late as well. */
function showsWork(profile) {
  const { strings } = profile.stringTable;
  const ids = new Set(profile.function.filter(({ name }) => strings[name] === 'theWork').map(({ id }) => id));
  const places = new Set(
    profile.location.filter(({ line }) => ids.has(line[0].functionId)).map(({ id }) => id),
  );
  const wall = profile.sampleType.findIndex(({ type }) => strings[type] === 'wall');
  const samples = profile.sample.filter(({ locationId }) => locationId.some((id) => places.has(id)));
  return samples.reduce((sum, { value }) => sum + Number(value[wall]), 0) / 1e6 > 0.2 * workedMs;
}

function namesIn({ stringTable }) {
  return new Set(stringTable.strings);
}

async function shows(response) {
  const body = Buffer.from(await response.arrayBuffer());
  return response.status === 200 && namesIn(Profile.decode(gunzipSync(body))).has('theWork');
}

async function main() {
  const logged = [];
  const at = (level) => (details, message) => logged.push(`${level}: ${message}`);
  const logger = { debug() {}, info() {}, warn: at('warn'), error: at('error') };
  const profiler = new Profiler({ httpAddr: 'localhost:0', engine, hangThresholdMs: 60_000 }, logger);
  let finish;
  if (order === 'before us') finish = NEIGHBOURS[neighbour]();
  if (order === 'around us') require(neighbour);
  await profiler.start();
  // Held while they come: a window that begins by one engine and ends by another.
  const across = fetch(`${profiler.address}profile?seconds=1`);
  if (order !== 'before us') {
    await sleep(100);
    finish = NEIGHBOURS[neighbour]();
  }
  // Compiled now: V8 may lack the names of what was optimised before a profiler began.
  const theWork = runInThisContext(
    `(function theWork(ms) {
      const kept = [];
      for (const endsAt = performance.now() + ms; performance.now() < endsAt; ) {
        for (let n = 0; n < 500; n++) kept.push([n, Math.sqrt(n)]);
        if (kept.length > 50_000) kept.length = 0;
      }
      return kept;
    })`,
    { filename: 'the-work.js' },
  );
  const timer = setInterval(() => {
    globalThis.kept = theWork(WORK_MS);
    workedMs += WORK_MS;
  }, EVERY_MS);
  const first = await across;
  await first.arrayBuffer();
  const cpu = await fetch(`${profiler.address}profile?seconds=1`);
  const heap = await fetch(`${profiler.address}heap`);
  const ours = {
    across: first.status,
    cpu: [cpu.status, await shows(cpu)],
    heap: [heap.status, (await heap.arrayBuffer()).byteLength > 0],
  };
  let theirs;
  if (order !== 'around us') theirs = finish();
  const again = await fetch(`${profiler.address}profile?seconds=1`);
  ours.after = [again.status, await shows(again)];
  clearInterval(timer);
  await profiler.stop();
  theirs ??= finish();
  console.log(JSON.stringify({ ours, theirs, logged }));
}
main();
