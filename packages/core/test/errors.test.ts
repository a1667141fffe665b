import { isLoopprofError, messageOf } from '../src/errors.js';

const revoked = Proxy.revocable({}, {});
revoked.revoke();
const trap = Object.defineProperty({}, 'message', {
  get() {
    throw new Error('not this way');
  },
});

it.each<[string, unknown, string]>([
  ['an error', new Error('no luck'), 'no luck'],
  ['a text', 'no luck', 'no luck'],
  ['undefined', undefined, 'undefined'],
  ['a symbol', Symbol('luck'), 'Symbol(luck)'],
  ['an object without a prototype', Object.create(null), 'what was thrown has no message'],
  ['a message without a text', { message: Object.create(null) as unknown }, 'what was thrown has no message'],
  ['a getter that throws', trap, 'what was thrown has no message'],
  ['a revoked proxy', revoked.proxy, 'what was thrown has no message'],
])('gives a message of %s', (_what, thrown, message) => {
  expect(messageOf(thrown)).toBe(message);
  expect(isLoopprofError(thrown)).toBe(false);
});
