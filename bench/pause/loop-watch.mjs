// Who blocked the loop? The workload runs in slices, each its own turn of the loop (setImmediate), and there is always a next
// one. So between the end of a slice and the start of the next the loop has nothing to do but what others gave it: a profiler's
// timers, its share of an HTTP answer, its promises. That gap, not the length of the turn, is the pause that somebody else
// causes: the workload's own work, long or short, is in no gap, and neither is the garbage collection that it sets off itself.
//
// Two things still lengthen a gap without being the profiler's fault, so each is known per gap and can be taken out: a collection
// that happens to become due there (the workload fills the heap, any allocation may tip it over), and another process having
// the CPU. Both are in the plain figure as well, for whoever does not want to believe that.
import { closeSync, openSync, readSync } from 'node:fs';
import { PerformanceObserver } from 'node:perf_hooks';

const MAX_TURNS = 200_000;

export class LoopWatch {
  #slice;
  #turns = 0;
  #starts = new Float64Array(MAX_TURNS);
  #ends = new Float64Array(MAX_TURNS);
  #waitsAtStart = new Float64Array(MAX_TURNS);
  #waitsAtEnd = new Float64Array(MAX_TURNS);
  #units = new Float64Array(MAX_TURNS);
  #collections = [];
  #cpuWait = openCpuWait();
  #running = false;

  /** @param slice does a slice of the work and says how many units of it that was */
  constructor(slice) {
    this.#slice = slice;
  }

  start() {
    this.#running = true;
    this.#observer.observe({ entryTypes: ['gc'] });
    setImmediate(this.#turn);
  }

  stop() {
    this.#running = false;
    this.#collect(this.#observer.takeRecords());
    this.#observer.disconnect();
    this.#cpuWait.close();
  }

  #observer = new PerformanceObserver((list) => this.#collect(list.getEntries()));

  #collect(entries) {
    for (const { startTime, duration } of entries) this.#collections.push([startTime, startTime + duration]);
  }

  #turn = () => {
    if (!this.#running || this.#turns === MAX_TURNS) return;
    const turn = this.#turns++;
    this.#waitsAtStart[turn] = this.#cpuWait.read();
    this.#starts[turn] = performance.now();
    this.#units[turn] = this.#slice();
    this.#ends[turn] = performance.now();
    this.#waitsAtEnd[turn] = this.#cpuWait.read();
    setImmediate(this.#turn);
  };

  /** What happened in [from, to), times as of performance.now(). */
  report(from, to) {
    const turns = [];
    let units = 0;
    let pause = 0;
    let ownPause = 0;
    for (let turn = 0; turn + 1 < this.#turns; turn++) {
      const end = this.#ends[turn];
      const next = this.#starts[turn + 1];
      if (next < from || end >= to) continue;
      turns.push(next - this.#starts[turn]);
      units += this.#units[turn];
      const gap = next - end;
      const waited = this.#waitsAtStart[turn + 1] - this.#waitsAtEnd[turn];
      pause = Math.max(pause, gap);
      // A collection waits for a CPU too, and how long of it nobody tells: taking out the longer of the two never takes too much.
      ownPause = Math.max(ownPause, gap - Math.max(waited, this.#collectingIn(end, next)));
    }
    turns.sort((a, b) => a - b);
    return {
      units,
      pause,
      ownPause,
      longestTurn: turns.at(-1) ?? 0,
      p99Turn: turns[Math.floor(turns.length * 0.99)] ?? 0,
    };
  }

  #collectingIn(from, to) {
    let sum = 0;
    for (const [start, end] of this.#collections)
      sum += Math.max(0, Math.min(end, to) - Math.max(start, from));
    return sum;
  }
}

/** How long, in ms, the main thread has been ready to run without a CPU to run on. Only Linux tells; elsewhere it counts as 0. */
function openCpuWait() {
  let file;
  try {
    file = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
  } catch {
    return { read: () => 0, close: () => {} };
  }
  const buffer = Buffer.alloc(64);
  return {
    read: () =>
      Number(buffer.latin1Slice(0, readSync(file, buffer, 0, buffer.length, 0)).split(' ')[1]) / 1e6,
    close: () => closeSync(file),
  };
}
