import { isLoopprofError } from '../../src/errors.js';
import { parseCapture } from '../../src/http/params.js';
import type { CaptureRequest, Profile } from '../../src/profiles/profile.js';

const SECOND = 1_000_000;
const NOW_MS = Date.UTC(2026, 10, 23, 12, 0, 0);
const LIMITS = { maxSeconds: 300, defaultSeconds: 30, windowMs: 120_000, nowMs: NOW_MS };

const profileOf = (seconds: Profile['seconds']): Profile => ({
  name: seconds === 'window' ? 'profile' : 'heap',
  aliases: [],
  description: '',
  enabledBy: 'enableCPU',
  seconds,
  text: seconds === 'delta',
  gc: seconds === 'delta',
  exampleQuery: '',
  capture: () => Promise.reject(new Error('parsing captures nothing')),
});
const WINDOW = profileOf('window');
const DELTA = profileOf('delta');

/** A window as seconds from now, as the tables below say it. */
function windowOf(query: string): [number, number] {
  const { window } = parseCapture(WINDOW, query, LIMITS);
  if (!window) throw new Error('no window');
  return [(window.fromMicros - NOW_MS * 1000) / SECOND, (window.toMicros - NOW_MS * 1000) / SECOND];
}

function refusalOf(profile: Profile, query: string): string {
  try {
    parseCapture(profile, query, LIMITS);
  } catch (error) {
    if (isLoopprofError(error) && error.code === 'LOOPPROF_INVALID_PARAMETER') return error.message;
    throw error;
  }
  throw new Error('it was accepted');
}

describe('seconds', () => {
  it.each([
    ['', 30],
    ['seconds=1', 1],
    ['seconds=007', 7],
    ['seconds=%2B5', 5],
    ['seconds=300', 300],
    ['seconds=5&seconds=5', 5],
  ])('of a window: %p is the %d s from now', (query, seconds) => {
    expect(windowOf(query)).toEqual([0, seconds]);
  });

  it.each<[string, Partial<CaptureRequest>]>([
    ['', { debug: 0, gc: false }],
    ['seconds=10', { debug: 0, gc: false, deltaMs: 10_000 }],
    ['seconds=10&seconds=10', { debug: 0, gc: false, deltaMs: 10_000 }],
    ['seconds=10&debug=0', { debug: 0, gc: false, deltaMs: 10_000 }],
  ])('of a snapshot: %p is a delta or, missing, now', (query, request) => {
    expect(parseCapture(DELTA, query, LIMITS)).toEqual(request);
  });

  const bad = [
    '',
    '0',
    '-1',
    '+0',
    '1.5',
    '1e9',
    '0x10',
    'abc',
    '5s',
    ' 5',
    '5 ',
    '٣',
    'NaN',
    'Infinity',
    '301',
    '9'.repeat(30),
  ];
  it.each(bad.flatMap((text) => [WINDOW, DELTA].map((profile) => ({ text, profile, name: profile.name }))))(
    'refuses "$text" for $name, naming the rule, the cap and the value',
    ({ text, profile }) => {
      expect(refusalOf(profile, `seconds=${encodeURIComponent(text)}`)).toBe(
        `invalid value for "seconds" - must be a positive integer up to 300 (maxSeconds), got "${text}"`,
      );
    },
  );

  it('cuts a long value short in the message', () => {
    expect(refusalOf(WINDOW, `seconds=${'x'.repeat(5000)}`).length).toBeLessThan(200);
  });

  it('refuses repeats that differ, for each parameter', () => {
    for (const query of [
      'seconds=5&seconds=6',
      'debug=0&debug=1',
      'gc=1&gc=0',
      'from=now-1s&from=now-2s',
      'to=1&to=2',
    ]) {
      expect(refusalOf(WINDOW, query)).toMatch(
        /^"(seconds|debug|gc|from|to)" is given more than once with different values/,
      );
    }
  });

  it('and debug exclude each other on a snapshot, as in Go', () => {
    expect(refusalOf(DELTA, 'seconds=1&debug=1')).toBe('seconds and debug params are incompatible');
  });

  it('and debug do not on a window, where Go ignores debug', () => {
    expect(parseCapture(WINDOW, 'seconds=1&debug=1', LIMITS)).toMatchObject({ debug: 1 });
  });
});

describe('debug and gc', () => {
  it.each([
    ['debug=1', 1],
    ['debug=2', 2],
    ['debug=-1', -1],
    ['debug=0', 0],
    ['debug=', 0],
    ['debug=yes', 0],
    ['debug=1.5', 0],
  ])('%p gives debug %d: what is not a number counts as 0', (query, debug) => {
    expect(parseCapture(DELTA, query, LIMITS).debug).toBe(debug);
  });

  it.each([
    ['gc=1', true],
    ['gc=2', true],
    ['gc=0', false],
    ['gc=-1', false],
    ['gc=true', false],
    ['', false],
    ['gc=1&seconds=1', false],
  ])('%p gives gc %p', (query, gc) => {
    expect(parseCapture(DELTA, query, LIMITS).gc).toBe(gc);
  });
});

describe('from and to', () => {
  const at = (secondsFromNow: number) => new Date(NOW_MS + secondsFromNow * 1000).toISOString();
  const unix = (secondsFromNow: number) => String(NOW_MS / 1000 + secondsFromNow);

  it.each<[string, [number, number]]>([
    ['from=now-90s', [-90, 0]],
    ['from=now-2m&to=now-90s', [-120, -90]],
    ['from=now-1.5s&to=now', [-1.5, 0]],
    [`from=${at(-60)}&to=${at(-30)}`, [-60, -30]],
    [`from=${encodeURIComponent('2026-11-23T12:59:30+01:00')}`, [-30, 0]],
    [`from=${unix(-10)}&to=${unix(-5)}`, [-10, -5]],
    [`from=${unix(-10.25)}`, [-10.25, 0]],
    [`from=now-10s&to=${unix(1)}`, [-10, 1]],
    ['from=now-5s&from=now-5s', [-5, 0]],
  ])('%p is that stretch of the past', (query, window) => {
    expect(windowOf(query)).toEqual(window);
  });

  it.each([
    ['to=now', '"to" needs "from".'],
    ['from=now', '"from" must lie before "to".'],
    ['from=now-10s&to=now-10s', '"from" must lie before "to".'],
    ['from=now-10s&to=now-20s', '"from" must lie before "to".'],
    [`from=now-10s&to=${unix(60)}`, '"to" must not lie in the future'],
    [`from=${unix(60)}`, '"from" must lie before "to".'],
    ['from=now-121s', 'further back than the recorder keeps: at most 120 s (windowMs)'],
    ['from=0&to=10', 'further back than the recorder keeps: at most 120 s (windowMs)'],
    [`from=${at(-301)}`, '300 s apart at most (maxSeconds)'],
    ['from=now-10s&seconds=5', '"seconds" is a time from now and cannot be combined with "from" and "to".'],
    ['to=now&seconds=5', '"seconds" is a time from now and cannot be combined with "from" and "to".'],
  ])('%p is refused: %s', (query, message) => {
    expect(refusalOf(WINDOW, query)).toContain(message);
  });

  it.each([
    'yesterday',
    '',
    'now+5s',
    'now-5',
    'now-5h',
    'now-s',
    '-5',
    '1e9',
    '2026-11-23',
    '2026-99-99T00:00:00Z',
    '12:00',
  ])('refuses the instant "%s", naming the parameter and the forms there are', (text) => {
    const form = 'must be now, now-90s, now-2m, Unix seconds or an ISO 8601 time';
    const encoded = encodeURIComponent(text);
    expect(refusalOf(WINDOW, `from=${encoded}`)).toBe(`invalid value for "from" - ${form}, got "${text}"`);
    expect(refusalOf(WINDOW, `from=now-5s&to=${encoded}`)).toBe(
      `invalid value for "to" - ${form}, got "${text}"`,
    );
  });

  it.each(['from=now-5s', 'to=now', 'from=now-5s&seconds=1'])(
    '%p is refused for a snapshot of now',
    (query) => {
      expect(refusalOf(DELTA, query)).toBe(
        '"from" and "to" are not supported for this profile type: heap is a snapshot of now.',
      );
    },
  );
});
