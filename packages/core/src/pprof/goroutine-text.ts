import type { PprofFrame } from './profile-data.js';
import { oneLine } from './text-stacks.js';

/** Pending operations that differ in their number alone. */
export interface GoroutineEntry {
  /** What they wait for. */
  readonly state: string;
  readonly ageSeconds: number | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** Leaf first. */
  readonly stack: readonly PprofFrame[];
}

/**
 * Go's text of all goroutines (`debug=2`): what a program prints when it panics. For people; pprof does not read it. Gives the
 * text of one of the entry's operations by its number.
 */
export function goroutineText({ state, ageSeconds, labels, stack }: GoroutineEntry): (id: number) => string {
  const minutes = Math.floor((ageSeconds ?? 0) / 60);
  const pairs = Object.entries(labels).map(
    ([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`,
  );
  const about = [
    state,
    ...(minutes > 0 ? [`${minutes} minutes`] : []),
    ...(pairs.length > 0 ? [`labels:{${pairs.join(', ')}}`] : []),
  ];
  const lines = stack.flatMap(({ name, file, line }) => [
    oneLine(`${name}(...)`),
    oneLine(`\t${file || '(native)'}:${line} +0x0`),
  ]);
  const rest = `${oneLine(`[${about.join(', ')}]:`)}\n${lines.join('\n')}\n\n`;
  return (id) => `goroutine ${id} ${rest}`;
}
