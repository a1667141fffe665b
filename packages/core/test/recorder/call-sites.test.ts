import { CallSites, isOwnCode, isUserCode } from '../../src/recorder/call-sites.js';

const sites = new CallSites();

function innermost(): ReturnType<CallSites['take']> {
  return sites.take(innermost);
}
function caller(): ReturnType<CallSites['take']> {
  return innermost();
}

describe('a stack', () => {
  it('begins with who called, and has the lines of the calls', () => {
    const [leaf, next] = caller();
    expect([leaf?.functionName, leaf?.url]).toEqual(['caller', __filename]);
    expect(next?.url).toBe(__filename);
    expect(leaf?.line).toBeGreaterThan(0);
    expect(leaf?.line).toBeLessThan(next?.line ?? 0);
  });

  it('has the same frame for the same position, so that stacks compare by identity', () => {
    const [one, two] = [1, 2].map(caller);
    expect(one?.[0]).toBe(two?.[0]);
    expect(innermost()[0]).not.toBe(one?.[0]);
  });

  it('can be read later', () => {
    function later(): object {
      return sites.mark(later);
    }
    const mark = later();
    expect(sites.read(mark)[0]?.url).toBe(__filename);
  });

  it("is taken without the app's prepareStackTrace, which is left as it was, and so is the limit", () => {
    const given = Object.getOwnPropertyDescriptor(Error, 'prepareStackTrace');
    const limit = Error.stackTraceLimit;
    const theirs = jest.fn(() => 'theirs');
    try {
      Error.prepareStackTrace = theirs;
      Error.stackTraceLimit = 1;
      expect(caller().length).toBeGreaterThan(2);
      expect(theirs).not.toHaveBeenCalled();
      expect(Object.getOwnPropertyDescriptor(Error, 'prepareStackTrace')?.value).toBe(theirs);
      expect(Error.stackTraceLimit).toBe(1);
    } finally {
      Error.stackTraceLimit = limit;
      if (given) Object.defineProperty(Error, 'prepareStackTrace', given);
      else Reflect.deleteProperty(Error, 'prepareStackTrace');
    }
    expect(new Error('after').stack).toContain(__filename);
  });

  it('tells code of the app from that of Node and of V8', () => {
    const frames = [1].map(() => caller())[0] ?? [];
    const builtIn = frames.find(({ functionName }) => functionName === 'map');
    expect(builtIn).toMatchObject({ url: '', line: 0 });
    expect(frames.filter(isUserCode).map(({ functionName }) => functionName)[0]).toBe('caller');
    expect(frames.filter(isOwnCode)).toEqual([]);
    expect(builtIn && isUserCode(builtIn)).toBe(false);
  });
});
