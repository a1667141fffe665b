import { readFile } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Profiler, ProfileType, ProfilingManager } from '@loopprof/core';
import { pino } from 'pino';
import { neighboursOf, type Neighbour } from './similar.js';

const log = pino();
const text = await readFile(new URL('../data/words.txt', import.meta.url), 'utf8');
const words = text.split('\n').filter((word) => word !== '');

/** Finds the neighbours of one word after the other, for a while. */
async function work(durationMs: number): Promise<Map<string, Neighbour[]>> {
  const found = new Map<string, Neighbour[]>();
  const until = performance.now() + durationMs;
  for (let n = 0; performance.now() < until; n++) {
    const word = words[n % words.length] as string;
    found.set(word, neighboursOf(word, words));
    await nextTurn();
  }
  return found;
}

// --- Profiler: on from here to stop(), served over HTTP and written to files. ---------------------------------------------

const profiler = new Profiler(
  {
    enableCPU: true,
    enableMemory: true,
    httpAddr: process.env['HTTP_ADDR'] ?? 'localhost:6060',
    profileDir: './profiles',
    profileDurationMs: 30_000,
  },
  log,
);
profiler.on('snapshot', ({ reason, files }) => log.info({ reason, names: Object.keys(files) }, 'snapshot'));

await profiler.start();
log.info({ address: profiler.address }, 'profiling');

const found = await work(1000);
const [[word, neighbours] = []] = found;
log.info({ words: found.size, word, neighbour: neighbours?.[0]?.word }, 'worked');

const files = await profiler.captureSnapshot({ signal: AbortSignal.timeout(10_000) });
log.info(files, 'snapshot files');

const { alloc, sys, numGC, gcPauseTotalMs, eventLoopUtilization, eventLoopDelay } = profiler.reportMetrics();
log.info({ alloc, sys, numGC, gcPauseTotalMs, eventLoopUtilization, eventLoopDelay }, 'metrics');

await profiler.stop(); // go tool pprof -top profiles/cpu.prof

// --- ProfilingManager: one profile at a time, or several, when the program says so. ----------------------------------------

const manager = new ProfilingManager({ profileDir: './profiles' }, log);

await manager.startProfile(ProfileType.CPU, 30_000); // at most; it ends by itself then
await work(1000);
log.info({ path: await manager.stopProfile(ProfileType.CPU) }, 'CPU profile');

log.info(await manager.captureAllProfiles(), 'all profiles');
log.info({ goroutines: manager.getMetrics().goroutines }, 'pending operations');

await manager.stop();
