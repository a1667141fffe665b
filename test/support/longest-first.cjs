// The files that take longest begin first, or one of them runs alone at the end. Jest knows of each how long it took the last time,
// and for a fresh clone they are named here.
const Sequencer = require('@jest/test-sequencer').default;

const LONGEST = [
  'accuracy/stalls.engine',
  'e2e/triggers',
  'accuracy/pending',
  'e2e/heap-growth',
  'accuracy/labels.engine',
  'accuracy/cpu.engine',
  'faults/disk',
  'faults/sidecar.engine',
  'contract/hostile',
  'accuracy/allocs.engine',
  'faults/blocked-loop.engine',
  'faults/neighbours',
  'e2e/go-pprof',
  'faults/lifecycle.engine',
  'faults/blocked-triggers',
  'accuracy/blocking.engine',
  'contract/transparent',
  'contract/http',
  'contract/proxies',
  'faults/sharing.engine',
  'faults/failures',
  'faults/trigger-storm',
  'contract/snapshots',
  'faults/forced-harvests.engine',
  'contract/places',
  'contract/browser',
  'faults/processes',
  'examples',
  'contract/requests',
];

const rankOf = ({ path }) => {
  const rank = LONGEST.findIndex((name) => path.endsWith(`/test/${name}.test.ts`));
  return rank < 0 ? LONGEST.length : rank;
};

module.exports = class extends Sequencer {
  sort(tests) {
    const sorted = super.sort(tests);
    if (sorted.some(({ duration }) => duration !== undefined)) return sorted;
    return sorted.toSorted((a, b) => rankOf(a) - rankOf(b));
  }
};
