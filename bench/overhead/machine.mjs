// What else the machine does while something is measured. Known on Linux alone.
import { readFileSync } from 'node:fs';

const MS_PER_TICK = 10;

const read = (path) => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
};

/** CPU that all processes have used so far, and what the hypervisor has given to others; undefined where that is not told. */
function allCpuMs() {
  const line = /^cpu +(.*)$/m.exec(read('/proc/stat') ?? '');
  if (!line) return undefined;
  const [user, nice, system, , , irq, softirq, steal] = line[1].split(' ').map(Number);
  return (user + nice + system + irq + softirq + steal) * MS_PER_TICK;
}

/** CPU of this process and of all its children that have ended. */
function ownCpuMs() {
  const { user, system } = process.cpuUsage();
  const fields = (read('/proc/self/stat') ?? '').replace(/^.*\) /, '').split(' ');
  return (user + system) / 1000 + (Number(fields[13]) + Number(fields[14])) * MS_PER_TICK;
}

/** Gives the way to tell how many cores others have kept busy since, when what was measured has used that much CPU. */
export function watchOthers() {
  const all = allCpuMs();
  if (all === undefined) return () => 0;
  const own = ownCpuMs();
  const beganAt = performance.now();
  return (measuredCpuMs) => {
    const othersMs = allCpuMs() - all - (ownCpuMs() - own) - measuredCpuMs;
    return Math.max(0, othersMs / (performance.now() - beganAt));
  };
}
