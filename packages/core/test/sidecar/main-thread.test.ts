import { setTimeout as sleep } from 'node:timers/promises';
import { MessageChannel } from 'node:worker_threads';
import { LoopprofError } from '../../src/errors.js';
import { Line, type LineOptions } from '../../src/sidecar/line.js';
import { MainThread } from '../../src/sidecar/main-thread.js';
import { monotonicMs, Pulse } from '../../src/sidecar/pulse.js';

const DEADLINE_MS = 1000;

const forLong = (): Promise<void> => sleep(10 * DEADLINE_MS, undefined, { ref: false });

const lines: Line[] = [];
afterEach(() => {
  for (const line of lines.splice(0))
    line.close(new LoopprofError('LOOPPROF_NOT_STARTED', 'The test is over.'));
});

/** A sidecar's view of a main thread that answers so; both are this thread, so nobody knocks. */
function between(options: LineOptions): { main: MainThread; pulse: Pulse } {
  const { port1, port2 } = new MessageChannel();
  const [line, other] = [new Line(port1, {}), new Line(port2, options)];
  lines.push(line, other);
  const pulse = new Pulse();
  return { main: new MainThread({ line, pulse }, 'this is a test'), pulse };
}

describe('an answer that is late', () => {
  it('is waited for once the main thread has been entered: it is being read, and takes its time', async () => {
    const answered: number[] = [];
    const { main, pulse } = between({
      inTurn: {
        stack: async () => {
          const readAtMs = monotonicMs();
          await sleep(1.5 * DEADLINE_MS);
          answered.push(performance.now());
          return { readAtMs, value: 'a stack' };
        },
      },
    });
    const askedAt = performance.now();
    const asked = main.ask('stack', undefined, { deadlineMs: DEADLINE_MS });
    pulse.enter();
    await expect(asked).resolves.toBe('a stack');
    expect((answered[0] as number) - askedAt).toBeGreaterThan(DEADLINE_MS);
  });

  it('is given up where it does not come then either', async () => {
    const { main, pulse } = between({ inTurn: { stack: forLong } });
    const asked = main.ask('stack', undefined, { deadlineMs: DEADLINE_MS });
    pulse.enter();
    await expect(asked).rejects.toMatchObject({
      code: 'LOOPPROF_LOOP_BLOCKED',
      message: expect.stringContaining('takes long inside of what blocks it') as string,
    });
  });

  it('is given up where nobody got in', async () => {
    const { main } = between({ inTurn: { stack: forLong } });
    await expect(main.ask('stack', undefined, { deadlineMs: DEADLINE_MS })).rejects.toMatchObject({
      code: 'LOOPPROF_LOOP_BLOCKED',
      message: expect.stringContaining('nothing may get in: this is a test') as string,
    });
  });

  it('is given up with another reason where it takes turns of the loop, which has heard of it', async () => {
    const { main, pulse } = between({ inTurn: { snapshot: forLong } });
    const asked = main.ask('snapshot', { contextId: 1 }, { deadlineMs: DEADLINE_MS });
    pulse.enter();
    await expect(asked).rejects.toMatchObject({
      code: 'LOOPPROF_LOOP_BLOCKED',
      message: expect.stringContaining('takes turns of it') as string,
    });
  });
});
