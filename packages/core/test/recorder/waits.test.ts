import { setTimeout as sleep } from 'node:timers/promises';
import { mainGlobal } from '../../src/realm.js';
import { CallSites } from '../../src/recorder/call-sites.js';
import { Waits } from '../../src/recorder/waits.js';

function newWaits(fraction = 1): Waits {
  const waits = new Waits({ fraction, callSites: new CallSites(), labels: () => undefined });
  waits.start();
  return waits;
}

const measure = <T>(waits: Waits, acquire: () => T): T =>
  waits.measure(acquire, { resource: 'lock', callee: measure });

describe('a measured wait', () => {
  it('is counted with what was waited for, when it took more than a turn', async () => {
    const waits = newWaits();
    expect(await measure(waits, () => sleep(30, 'held'))).toBe('held');
    const [row] = waits.read().rows;
    expect(row).toMatchObject({ count: 1, labels: { resource: 'lock' } });
    expect(row?.delayNanos).toBeGreaterThan(20e6);
    expect(row?.frames[0]?.url).toBe(__filename);
  });

  it('is none when what is waited for comes within the turn', async () => {
    const waits = newWaits();
    expect(await measure(waits, () => Promise.resolve('free'))).toBe('free');
    await measure(waits, async () => {
      for (let step = 0; step < 100; step++) await Promise.resolve();
    });
    expect(waits.read().rows).toEqual([]);
  });

  it('is counted when it ends in a rejection, which goes on to who asked', async () => {
    const waits = newWaits();
    const failed = measure(waits, async () => {
      await sleep(5);
      throw new Error('no connection');
    });
    await expect(failed).rejects.toThrow('no connection');
    expect(waits.read().rows).toMatchObject([{ count: 1 }]);
  });

  it('is counted when what is called waits itself, or throws', () => {
    const waits = newWaits();
    expect(measure(waits, () => 7)).toBe(7);
    expect(() =>
      measure(waits, () => {
        throw new Error('broken');
      }),
    ).toThrow('broken');
    expect(waits.read().rows.reduce((sum, { count }) => sum + count, 0)).toBe(2);
  });

  it('gives what was given, untouched, when nothing is recorded', () => {
    const promise = Promise.resolve();
    expect(measure(newWaits(0), () => promise)).toBe(promise);
    const stopped = newWaits();
    stopped.stop();
    expect(measure(stopped, () => promise)).toBe(promise);
    expect(stopped.read().rows).toEqual([]);
  });
});

describe('Atomics.wait', () => {
  // Jest gives each test file a realm of its own.
  const { Atomics } = mainGlobal;
  const cell = new Int32Array(new SharedArrayBuffer(4));

  it('is Node’s own except while it is watched', () => {
    const original = Atomics.wait;
    const waits = newWaits();
    const unwatch = waits.watchAtomics();
    expect(Atomics.wait).not.toBe(original);
    expect(Atomics.wait(cell, 0, 0, 5)).toBe('timed-out');
    expect(Atomics.wait(cell, 0, 1, 5)).toBe('not-equal');
    unwatch();
    expect(Atomics.wait).toBe(original);
    expect(waits.read().rows).toMatchObject([{ count: 1, labels: { resource: 'Atomics.wait' } }]);
  });

  it('stays what somebody else has put in its place meanwhile', () => {
    const original = Atomics.wait;
    const waits = newWaits();
    const unwatch = waits.watchAtomics();
    const watched = Atomics.wait;
    const theirs = ((...args: Parameters<typeof original>) => watched(...args)) as typeof original;
    try {
      Atomics.wait = theirs;
      unwatch();
      expect(Atomics.wait).toBe(theirs);
      expect(Atomics.wait(cell, 0, 0, 5)).toBe('timed-out');
      expect(waits.read().rows).toEqual([]);
    } finally {
      Atomics.wait = original;
    }
  });
});
