import { closeSync, openSync, readSync } from 'node:fs';

/** CPU nanoseconds that the calling thread has used so far; undefined where neither Node nor the system tells. */
export function threadCpuNanos(): number | undefined {
  const { threadCpuUsage } = process as { threadCpuUsage?: () => { user: number; system: number } };
  if (threadCpuUsage) {
    const { user, system } = threadCpuUsage.call(process);
    return (user + system) * 1000;
  }
  return linuxThreadCpuNanos();
}

const buffer = Buffer.alloc(64);

/** Node before 22.15. The first field of schedstat is the time on the CPU; it may lag by a scheduler tick. */
function linuxThreadCpuNanos(): number | undefined {
  if (process.platform !== 'linux') return undefined;
  let file: number | undefined;
  try {
    file = openSync('/proc/thread-self/schedstat', 'r');
    const length = readSync(file, buffer, 0, buffer.length, 0);
    const nanos = Number.parseInt(buffer.toString('latin1', 0, length), 10);
    return nanos > 0 ? nanos : undefined;
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
