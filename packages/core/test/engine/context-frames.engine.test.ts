import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { ContextFrames } from '../../src/engine/context-frames.js';

/** Counts how often a context is copied. */
class CountingStore extends AsyncLocalStorage<object> {
  copies = 0;

  override enterWith(value: object): void {
    this.copies += 1;
    super.enterWith(value);
  }
}

const SHOWS_FRAMES = Number(process.versions.node.split('.')[0]) >= 24;
const A = { name: 'a' };
const B = { name: 'b' };
const itself = (value: object): object => value;

/** What a server does: each time in the same context, which is another one outside. */
async function inTurns(times: number, work: (index: number) => unknown): Promise<void> {
  for (let index = 0; index < times; index++) {
    await new Promise<void>((resolve, reject) => {
      globalThis.setImmediate(() => {
        Promise.resolve(work(index)).then(() => resolve(), reject);
      });
    });
  }
}

describe('ContextFrames', () => {
  it('enters values that stay across awaits and timers, each request its own', async () => {
    const store = new AsyncLocalStorage<object>();
    const frames = new ContextFrames(store, itself);
    const seen: unknown[] = [];
    const request = async (index: number): Promise<void> => {
      frames.enter(A, true);
      expect(store.getStore()).toBe(A);
      await setImmediate();
      expect(store.getStore()).toBe(A);
      const own = { index };
      frames.enter(index % 2 ? B : own, false);
      await setTimeout(1);
      seen.push(store.getStore());
      expect(store.getStore()).toEqual(index % 2 ? B : { index });
    };
    for (let round = 0; round < 5; round++)
      await Promise.all(Array.from({ length: 20 }, (_, index) => request(index)));
    expect(seen).toHaveLength(100);
  });

  it('leaves the stores of others as they are, also those that come, change and go', async () => {
    const store = new AsyncLocalStorage<object>();
    const frames = new ContextFrames(store, itself);
    const users = new AsyncLocalStorage<string>();
    const request = async (): Promise<void> => {
      frames.enter(A, true);
      await setImmediate();
      frames.enter(B, false);
      expect(store.getStore()).toBe(B);
    };
    await inTurns(40, request);
    for (const user of ['ada', 'grace'])
      await users.run(user, () =>
        inTurns(40, async (index) => {
          await request();
          expect(users.getStore()).toBe(user);
          users.enterWith(`${user} ${index}`);
          frames.enter(A, false);
          expect(users.getStore()).toBe(`${user} ${index}`);
          expect(store.getStore()).toBe(A);
        }),
      );
    await users.run('ada', () =>
      inTurns(40, async (index) => {
        // As a server's own context would lose a store while requests come out of it.
        if (index === 30) users.disable();
        await request();
        expect(users.getStore()).toBe(index < 30 ? 'ada' : undefined);
      }),
    );
  });

  it('keeps the stores of others for the next request when one takes them out of its own', async () => {
    const store = new AsyncLocalStorage<object>();
    const frames = new ContextFrames(store, itself);
    const users = new AsyncLocalStorage<string>();
    await users.run('ada', () =>
      inTurns(60, (index) => {
        expect(users.getStore()).toBe('ada');
        frames.enter(A, true);
        expect(users.getStore()).toBe('ada');
        if (SHOWS_FRAMES && index % 7 === 0) users.disable();
      }),
    );
  });

  it('leaves a store of others out of a request that has taken it out', async () => {
    const store = new AsyncLocalStorage<object>();
    const frames = new ContextFrames(store, itself);
    const users = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    await users.run('ada', () =>
      inTurns(60, (index) => {
        frames.enter(A, true);
        if (index === 40) users.disable();
        frames.enter(B, false);
        seen.push(users.getStore());
        expect(store.getStore()).toBe(B);
      }),
    );
    expect(seen.slice(39, 41)).toEqual(['ada', undefined]);
    if (SHOWS_FRAMES) expect(seen[41]).toBe('ada');
  });

  it('leaves a store of others in a request that goes on when others take it out', async () => {
    const store = new AsyncLocalStorage<object>();
    const frames = new ContextFrames(store, itself);
    const users = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    await users.run('ada', () =>
      inTurns(60, async (index) => {
        // As code of the server's own context would.
        const others = index === 40 ? AsyncLocalStorage.bind(() => users.disable()) : undefined;
        frames.enter(A, true);
        await setImmediate();
        others?.();
        frames.enter(B, false);
        seen.push(users.getStore());
        expect(store.getStore()).toBe(B);
      }),
    );
    expect(seen[39]).toBe('ada');
    if (SHOWS_FRAMES) expect(seen.slice(40, 42)).toEqual(['ada', undefined]);
  });

  it('makes no copy for a value that was entered from the same context before', async () => {
    const store = new CountingStore();
    const frames = new ContextFrames(store, itself);
    const request = async (): Promise<void> => {
      frames.enter(A, true);
      await setImmediate();
      frames.enter(B, false);
      await setImmediate();
    };
    await new AsyncLocalStorage<number>().run(1, () => inTurns(30, request));
    const before = store.copies;
    await inTurns(30, request);
    const between = store.copies;
    await inTurns(30, request);
    expect(before).toBeGreaterThan(0);
    expect(store.copies - between).toBe(SHOWS_FRAMES ? 0 : 60);
  });

  it('makes a copy per value, not per request, however often a request enters one', async () => {
    const store = new CountingStore();
    const frames = new ContextFrames(store, itself);
    const request = async (): Promise<void> => {
      frames.enter(A, true);
      for (let step = 0; step < 4; step++) {
        await setImmediate();
        frames.enter(B, false);
        expect(store.getStore()).toBe(B);
      }
    };
    // A server's requests begin in the context it was started in, where others, and we, may have set a store.
    await new AsyncLocalStorage<string>().run('elsewhere', () => inTurns(100, request));
    await store.run({ name: 'started in a request' }, () => inTurns(100, request));
    if (SHOWS_FRAMES) expect(store.copies).toBeLessThan(200);
    else expect(store.copies).toBe(1000);
  });

  it('keeps the copies of the context in which most requests begin', () => {
    const store = new CountingStore();
    const frames = new ContextFrames(store, itself);
    const server = (port: string): (() => number) =>
      new AsyncLocalStorage<string>().run(port, () =>
        AsyncLocalStorage.bind(() => {
          const before = store.copies;
          frames.enter(A, true);
          return store.copies - before;
        }),
      );
    const main = server('3000');
    const admin = server('3001');
    const total = { main: 0, admin: 0 };
    for (let turn = 0; turn < 400; turn++) {
      if (turn % 4 === 3) total.admin += admin();
      else total.main += main();
    }
    expect(total.admin).toBe(100);
    // Until it is known where most begin.
    if (SHOWS_FRAMES) expect(total.main).toBeLessThan(30);
    else expect(total.main).toBe(300);
  });
});
