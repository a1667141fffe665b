// Computes the same things over and over, while a thread forces harvests into whatever runs, at random moments: argv[2] of them.
// Prints how many came in, how many results there were, and which differed from those computed in peace, as JSON. With argv[3]
// 'asked' the event loop is blocked all the time, and it is the standalone server that is asked so often, for all that it gets there.
const { createHash } = require('node:crypto');
const { once } = require('node:events');
const { dirname, join } = require('node:path');
const { Worker } = require('node:worker_threads');

const COUNT = Number(process.argv[2] ?? 5000);
const asked = process.argv[3] === 'asked';
const core = dirname(require.resolve('@loopprof/core'));

function numbers(seed, count) {
  let state = seed;
  return Array.from({ length: count }, () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0));
}

function* countdown(from) {
  for (let n = from; n > 0; n--) {
    const factor = yield n;
    if (factor) n -= factor;
  }
}

const COMPUTATIONS = {
  json() {
    const value = numbers(1, 3000).map((n) => ({ n, text: `é${n}`, list: [n % 7, { deep: [n] }] }));
    return JSON.stringify(JSON.parse(JSON.stringify(value)));
  },
  sort: () =>
    numbers(2, 20_000)
      .sort((a, b) => (a % 1000) - (b % 1000) || a - b)
      .join(),
  regexp: () =>
    numbers(3, 2000)
      .join(' ')
      .replace(/(\d)(\d+?)(?=\1| )/g, (_all, a, b) => `${b}${a}`),
  async promises() {
    const parts = await Promise.all(
      numbers(4, 500).map(async (n) => {
        await null;
        const settled = await Promise.allSettled([Promise.reject(new Error(String(n))), n]);
        return settled.map(({ reason, value }) => reason?.message ?? value).join();
      }),
    );
    return parts.join();
  },
  generators() {
    const seen = [];
    for (const seed of numbers(5, 300)) {
      const steps = countdown(60);
      for (let step = steps.next(); !step.done; step = steps.next(seed % 3)) seen.push(step.value);
    }
    return seen.join();
  },
  proxies() {
    const target = {};
    const proxy = new Proxy(target, {
      get: (object, key, receiver) => Reflect.get(object, key, receiver) ?? 0,
      set: (object, key, value) => Reflect.set(object, key, value + 1),
      has: (object, key) => key.length > 2 && key in object,
    });
    for (const n of numbers(6, 10_000)) proxy[`k${n % 257}`] += n % 11;
    return JSON.stringify(Object.entries(target).filter(([key]) => key in proxy));
  },
  errors() {
    const deep = (n) => {
      if (n === 0) throw new RangeError('deep');
      try {
        return deep(n - 1);
      } finally {
        deep.left = (deep.left ?? 0) + n;
      }
    };
    let caught = 0;
    for (let n = 0; n < 200; n++) {
      try {
        deep(40);
      } catch (error) {
        caught += error.message.length;
      }
    }
    return `${caught} ${deep.left}`;
  },
  collections() {
    const map = new Map();
    const weak = new WeakMap();
    for (const n of numbers(7, 10_000)) {
      const key = { n };
      weak.set(key, n);
      map.set(n % 997, [...(map.get(n % 997) ?? []).slice(-3), weak.get(key)]);
    }
    return createHash('sha256')
      .update(String([...map]))
      .digest('hex');
  },
};

// Knocks as the sidecar does, as fast as it is let in. It ends when it is told to: Node aborts the process now and then when a thread
// ends while the main thread still has to do with its last session.
const KNOCKER = `
  const { parentPort, workerData } = require('node:worker_threads');
  const { knockOnMainThread } = require(workerData.door);
  const turns = new Int32Array(workerData.turns);
  async function knock() {
    for (let n = 0; n < workerData.count; n++) {
      await knockOnMainThread('globalThis.forcedHarvest()');
      if (Atomics.load(turns, 0)) break;
      // Not in step with what runs, and no longer than that takes: it computes all the while.
      if (Math.random() < 0.5) await new Promise((resolve) => setTimeout(resolve, 2 * Math.random()));
    }
    Atomics.store(turns, 0, 1);
  }
  parentPort.once('message', () => {});
  knock();
`;

// As several who want to know at once.
const ASKER = `
  const { workerData } = require('node:worker_threads');
  const turns = new Int32Array(workerData.turns);
  const PATHS = ['stack', 'heap', 'profile?from=now-1s&to=now', 'runtime', 'stalls', 'block', 'heap?debug=1', ''];
  let left = workerData.count;
  async function ask(n) {
    for (; left-- > 0; n++) {
      const response = await fetch(workerData.address + PATHS[n % PATHS.length]);
      await response.arrayBuffer();
      if (response.status === 200) Atomics.add(turns, 1, 1);
    }
  }
  Promise.all([0, 2, 4].map(ask)).finally(() => Atomics.store(turns, 0, 1));
`;

async function main() {
  const { Profiler } = require('@loopprof/core');
  const expected = new Map();
  for (const [name, compute] of Object.entries(COMPUTATIONS)) expected.set(name, await compute());

  const profiler = new Profiler({ httpAddr: 'localhost:0', hangThresholdMs: 600_000, labels: true });
  await profiler.start();
  const { session, sidecar } = globalThis[Symbol.for('loopprof.thread.v1')].thread;
  let harvests = 0;
  globalThis.forcedHarvest = () => {
    session.harvest();
    harvests += 1;
  };
  const turns = new SharedArrayBuffer(8);
  const done = new Int32Array(turns);
  const { address } = profiler;
  const worker = new Worker(asked ? ASKER : KNOCKER, {
    eval: true,
    workerData: { door: join(core, 'engine', 'main-thread-door.js'), address, count: COUNT, turns },
  });
  await once(worker, 'online');

  let results = 0;
  const differing = [];
  while (!Atomics.load(done, 0)) {
    for (const [name, compute] of Object.entries(COMPUTATIONS)) {
      results += 1;
      if ((await compute()) !== expected.get(name)) differing.push(name);
    }
    // Microtasks alone do not let the event loop turn.
    if (!asked) await new Promise(setImmediate);
  }
  worker.postMessage('end');
  const { entries } = sidecar.pulse;
  await profiler.stop();
  console.log(JSON.stringify({ harvests, answers: done[1], entries, results, differing }));
}
main();
