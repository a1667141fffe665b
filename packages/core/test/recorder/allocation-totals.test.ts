import { AllocationTotals } from '../../src/recorder/allocation-totals.js';
import { FrameTable, pseudoFrame } from '../../src/recorder/frames.js';
import { HeapStacks, type HeapCounts } from '../../src/recorder/heap-counts.js';

/** More than are kept apart. */
const STACKS = 12_000;
const KEPT = 10_000;

const frames = Array.from({ length: STACKS }, (_, n) => [pseudoFrame(`f${n}`)]);

/** A run in which each stack has allocated two objects, one of which lives. */
function runOf(stacks: HeapStacks, first: number, last: number): Map<number, HeapCounts> {
  const counts = { objects: 1, sizeBytes: 50, allocObjects: 2, allocBytes: 100 };
  return new Map(frames.slice(first, last).map((each) => [stacks.number(each), counts]));
}

describe('allocations of all runs', () => {
  const stacks = new HeapStacks(new FrameTable());
  const bytesOf = (rows: ReadonlyMap<number, HeapCounts>, numbers = stacks): Map<string, number> =>
    new Map(
      [...rows].map(([stack, { allocBytes }]) => [numbers.frames(stack)[0]?.functionName ?? '', allocBytes]),
    );

  it('are bounded in their rows, and whole in their sums', () => {
    const rows = new AllocationTotals(stacks).with(runOf(stacks, 0, STACKS));
    expect(rows.size).toBe(KEPT + 1);
    const others = STACKS - KEPT;
    const [other] = [...rows].filter(([stack]) => stacks.frames(stack)[0]?.functionName === '(other)');
    expect(other?.[1]).toEqual({
      objects: others,
      sizeBytes: 50 * others,
      allocObjects: 2 * others,
      allocBytes: 100 * others,
    });
  });

  it('never fall, row by row, when a run ends and others follow', () => {
    const totals = new AllocationTotals(stacks);
    let last = new Map<string, number>();
    const look = (run: ReadonlyMap<number, HeapCounts>): void => {
      const rows = bytesOf(totals.with(run));
      for (const [name, bytes] of last)
        if (!(bytes <= (rows.get(name) ?? 0))) throw new Error(`${name}: ${bytes}, then ${rows.get(name)}`);
      last = rows;
    };
    const nothing = new Map<number, HeapCounts>();
    for (const [first, end] of [
      [2000, STACKS],
      [0, 6000],
      [0, STACKS],
    ] as const) {
      const run = runOf(stacks, first, end);
      look(run);
      totals.add(run);
      look(nothing);
    }
    expect(last.size).toBe(KEPT + 1);
    expect(last.get('(other)')).toBe(2 * 2000 * 100);
    expect(last.get('f2000')).toBe(300);

    const renumbered = new HeapStacks(new FrameTable());
    expect(bytesOf(totals.renumbered(renumbered).with(nothing), renumbered)).toEqual(last);
  });
});
