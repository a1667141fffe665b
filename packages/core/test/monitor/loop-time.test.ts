import { LoopTime } from '../../src/monitor/loop-time.js';

const LONG_MS = 9000;

describe('LoopTime', () => {
  let clock: jest.SpiedFunction<typeof performance.now>;
  let nowMs = 1000;
  beforeEach(() => (clock = jest.spyOn(performance, 'now').mockImplementation(() => nowMs)));
  afterEach(() => clock.mockRestore());

  it('goes by the looks, however long a time they are of', () => {
    const time = new LoopTime();
    time.looked(10, 10);
    const before = time.read();
    nowMs += LONG_MS;
    time.looked(5000, LONG_MS - 10);
    const after = time.read();
    expect(after.idleMs - before.idleMs).toBeCloseTo(5000);
    expect(after.activeMs - before.activeMs).toBeCloseTo(LONG_MS - 10 - 5000);
  });

  it('goes by what Node says of a time that nobody looked at', () => {
    const time = new LoopTime();
    time.looked(10, 10);
    const before = time.read();
    nowMs += 3 * LONG_MS;
    time.looked(5000, LONG_MS);
    const after = time.read();
    // A moment, for Node: the clock was only put forward.
    expect(after.idleMs - before.idleMs).toBeLessThan(1000);
    expect(after.activeMs - before.activeMs).toBeLessThan(1000);
  });
});
