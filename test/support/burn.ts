/** Uses that much CPU. By CPU, not by the clock: a busy machine has less of it in a second. */
export function burnCpu(cpuMs: number): number {
  const start = process.cpuUsage();
  for (let sum = 0; ;) {
    for (let n = 0; n < 10_000; n++) sum += Math.sqrt(n);
    const { user, system } = process.cpuUsage(start);
    if (user + system >= cpuMs * 1000) return sum;
  }
}
