import { totalmem } from 'node:os';

/** What memory this process may use: the limit of its cgroup (v1 and v2), else what the machine has. */
export function memoryLimitBytes(): number {
  const constrained = process.constrainedMemory();
  const total = totalmem();
  // 0 where nothing is known; without a limit, cgroup v1 gives a number beyond any machine.
  return constrained > 0 && constrained < total ? constrained : total;
}
