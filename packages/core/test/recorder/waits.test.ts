import { pbkdf2 } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { runToEnd } from '../../../../test/support/child.js';
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

const REJECTIONS = 'rejections.cjs';

/** Holds up the loop; gives for how long. */
function sleepHere(durationMs: number): number {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, durationMs);
  return durationMs;
}

/** As query builders are: asking for the result is what sends it. */
class Query implements PromiseLike<string> {
  static #runs = new WeakMap<Query, number>();

  get runs(): number {
    return Query.#runs.get(this) ?? 0;
  }

  then<A = string, B = never>(
    onFulfilled?: ((value: string) => A | PromiseLike<A>) | null,
    onRejected?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    Query.#runs.set(this, this.runs + 1);
    return sleep(5, 'row').then(onFulfilled, onRejected);
  }
}

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

  it('is counted when it begins in a timer and ends with what the loop waits for next', async () => {
    const waits = newWaits();
    const derive = (): Promise<void> =>
      new Promise((resolve) => pbkdf2('password', 'salt', 50_000, 64, 'sha512', () => resolve()));
    for (let begun = 0; begun < 10; begun++) {
      await new Promise<void>((resolve) => {
        setTimeout(() => void measure(waits, derive).then(resolve), 2);
      });
    }
    // A machine that holds up the loop for that long lets it end within the turn.
    expect(waits.read().rows.reduce((sum, { count }) => sum + count, 0)).toBeGreaterThan(5);
  });

  it('is counted when what is called waits itself, also if it throws then', () => {
    const waits = newWaits();
    expect(measure(waits, () => sleepHere(3))).toBe(3);
    expect(() =>
      measure(waits, () => {
        throw new Error(`broken after ${sleepHere(3)} ms`);
      }),
    ).toThrow('broken after 3 ms');
    expect(waits.read().rows.reduce((sum, { count }) => sum + count, 0)).toBe(2);
  });

  it('is none when what is called gives something at once', () => {
    const waits = newWaits();
    for (let call = 0; call < 1000; call++) expect(measure(waits, () => 7)).toBe(7);
    // The machine may have held up a few of them.
    expect(waits.read().rows.reduce((sum, { count }) => sum + count, 0)).toBeLessThan(100);
  });

  it('gives what was given, with all that is on it, and asks it once for each who waits', async () => {
    const waits = newWaits();
    const query = new Query();
    expect(measure(waits, () => query)).toBe(query);
    expect(query.runs).toBe(0);
    expect(measure(waits, () => query)).toBe(query);
    expect(await query).toBe('row');
    expect(query.runs).toBe(1);
    expect(waits.read().rows).toMatchObject([{ count: 1 }, { count: 1 }]);
    expect(await query).toBe('row');
    expect(waits.read().rows).toMatchObject([{ count: 1 }, { count: 1 }]);

    class Cancelable extends Promise<string> {
      cancel(): void {}
    }
    const cancelable = new Cancelable((resolve) => setTimeout(resolve, 5, 'held'));
    expect(measure(waits, () => cancelable)).toBe(cancelable);
    expect(await cancelable).toBe('held');
    expect(waits.read().rows).toHaveLength(3);

    const cancel = (): void => {};
    const plain = measure(waits, () => Object.assign(sleep(5, 'held'), { cancel }));
    expect(plain.cancel).toBe(cancel);
    expect(await plain).toBe('held');
    expect(waits.read().rows).toHaveLength(4);

    const frozen = Object.freeze(new Query());
    expect(measure(waits, () => frozen)).toBe(frozen);
    expect(await frozen).toBe('row');
  });

  it('leaves a rejection that nobody handles unhandled, and makes none of its own', async () => {
    const { stdout, stderr, code } = await runToEnd(REJECTIONS);
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 });
    expect(stdout.trim().split('\n')).toEqual([
      'handled plain',
      'handled special',
      'unhandled plain',
      'unhandled special',
    ]);
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
