// The files that take longest begin first, or one of them runs alone at the end. Jest knows of each how long it took the last time,
// and for a fresh clone they are named here.
const Sequencer = require('@jest/test-sequencer').default;

const LONGEST = [
  'accuracy/stalls.engine',
  'faults/neighbours',
  'faults/blocked-loop.engine',
  'accuracy/pending',
  'faults/sidecar.engine',
  'e2e/triggers',
  'contract/snapshots',
  'accuracy/waits',
  'contract/places',
  'contract/profile-proto.engine',
  'accuracy/labels.engine',
  'accuracy/cpu.engine',
  'contract/hostile',
  'contract/requests',
  'faults/disk',
  'faults/lifecycle.engine',
  'faults/debugger.engine',
  'faults/forced-harvests.engine',
  'faults/processes',
  'contract/manifests',
  'contract/http',
  'contract/transparent',
  'examples',
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
