import { threadPoolSize, ThreadPoolQueue } from '../../src/recorder/thread-pool.js';
import type { PoolUse } from '../../src/recorder/operation-kinds.js';

it.each([
  [undefined, 4],
  ['8', 8],
  ['1', 1],
  ['0', 1],
  ['-3', 1],
  ['many', 1],
  ['', 1],
  ['100000', 1024],
])('UV_THREADPOOL_SIZE=%p makes %d threads, as libuv reads it', (setting, threads) => {
  // An argument that is undefined would be read from the environment of the tests.
  expect(setting === undefined ? threadPoolSize(undefined) : threadPoolSize(setting)).toBe(threads);
});

describe('the queue before the thread pool', () => {
  const waits: [number, number][] = [];
  beforeEach(() => void waits.splice(0));

  const submit = (queue: ThreadPoolQueue, id: number, at: { submittedMs: number; use?: PoolUse }): void =>
    queue.submit(id, { use: 'any', ...at, onWaited: (waitedMs) => waits.push([id, waitedMs]) });

  it('takes up work in the order of its submission, whenever a thread is free', () => {
    const queue = new ThreadPoolQueue(2);
    for (const id of [1, 2, 3, 4, 5]) submit(queue, id, { submittedMs: id });
    queue.complete(2, 10);
    queue.complete(1, 15);
    queue.complete(3, 30);
    expect(waits).toEqual([
      [3, 7],
      [4, 11],
      [5, 25],
    ]);
  });

  it('says nothing of work for which there was a thread', () => {
    const queue = new ThreadPoolQueue(2);
    for (const id of [1, 2, 3, 4]) {
      submit(queue, id, { submittedMs: id * 10 });
      if (id % 2 === 0) {
        queue.complete(id - 1, id * 10 + 5);
        queue.complete(id, id * 10 + 5);
      }
    }
    expect(waits).toEqual([]);
  });

  it('lets work begin no earlier than it was submitted, however early a thread may have been free', () => {
    const queue = new ThreadPoolQueue(1);
    submit(queue, 1, { submittedMs: 0 });
    submit(queue, 2, { submittedMs: 8 });
    queue.complete(1, 5);
    expect(waits).toEqual([]);
    submit(queue, 3, { submittedMs: 9 });
    queue.complete(2, 20);
    expect(waits).toEqual([[3, 11]]);
  });

  it('gives names half of the threads at most, and lets other work pass by', () => {
    const queue = new ThreadPoolQueue(4);
    for (const id of [1, 2, 3]) submit(queue, id, { submittedMs: id, use: 'names' });
    submit(queue, 4, { submittedMs: 4 });
    submit(queue, 5, { submittedMs: 5 });
    expect(queue.has(3)).toBe(true);
    queue.complete(4, 10);
    queue.complete(1, 20);
    expect(waits).toEqual([[3, 17]]);
  });

  it('takes threads for busy that have work from before, as long as that is known of', () => {
    const queue = new ThreadPoolQueue(2, 2);
    submit(queue, 1, { submittedMs: 0 });
    submit(queue, 2, { submittedMs: 0 });
    queue.setForeign(1, 10);
    queue.setForeign(0, 30);
    expect(waits).toEqual([
      [1, 10],
      [2, 30],
    ]);
  });

  it('learns from work that is done before it could be taken up that the threads are free', () => {
    const queue = new ThreadPoolQueue(2, 2);
    submit(queue, 1, { submittedMs: 0 });
    submit(queue, 2, { submittedMs: 1 });
    queue.complete(1, 5);
    expect(queue.foreign).toBe(0);
    submit(queue, 3, { submittedMs: 6 });
    expect(waits).toEqual([]);
  });

  it('says nothing of threads that have been free all the time after all', () => {
    const queue = new ThreadPoolQueue(2, 2);
    submit(queue, 1, { submittedMs: 0 });
    submit(queue, 2, { submittedMs: 1 });
    submit(queue, 3, { submittedMs: 2 });
    queue.setForeign(0);
    queue.complete(1, 20);
    expect(waits).toEqual([[3, 18]]);
  });

  it('does not keep a thread for work that never comes back', () => {
    const queue = new ThreadPoolQueue(2);
    for (const id of [1, 2]) submit(queue, id, { submittedMs: 0, use: 'names' });
    submit(queue, 3, { submittedMs: 1 });
    submit(queue, 4, { submittedMs: 2 });
    queue.drop(2);
    queue.drop(1);
    expect(queue.has(1) || queue.has(2)).toBe(false);
    submit(queue, 5, { submittedMs: 3, use: 'names' });
    queue.complete(3, 10);
    expect(waits).toEqual([[5, 7]]);
    queue.drop(6);
  });
});
