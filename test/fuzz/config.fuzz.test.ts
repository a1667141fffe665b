import { defaultProfilerConfig, isLoopprofError, Profiler, type ProfilerConfig } from '@loopprof/core';
import fc from 'fast-check';
import { parseAddress, resolveConfig, socketPath } from '../../packages/core/src/config.js';
import { budget, fuzzTimeoutMs } from '../support/fuzz.js';

const SECRET = 'correct-horse-battery-staple';

const anything = fc.oneof(
  fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withNullPrototype: true,
    withSparseArray: true,
  }),
  fc.constantFrom(
    SECRET,
    Symbol('x'),
    () => SECRET,
    Object.create(null),
    new Proxy({}, {}),
    'x'.repeat(100_000),
  ),
  fc.constantFrom(
    'localhost:0',
    ':0',
    'unix:/x',
    '[::1]:1',
    'a:b:c',
    'unix:',
    '/',
    'loopback',
    'public',
    'auto',
  ),
  fc.record({ token: fc.oneof(fc.constant(SECRET), fc.anything()) }),
  fc.record({ authorize: fc.anything() }),
);
const fields = fc.constantFrom(
  ...Object.keys(defaultProfilerConfig()),
  '__proto__',
  'constructor',
  'toString',
  '',
);
const config = fc.oneof(
  anything,
  fc.dictionary(fields, anything, { maxKeys: 8 }),
  fc.array(fc.tuple(fields, anything), { maxLength: 8 }).map((pairs) => Object.fromEntries(pairs) as object),
);

it(
  'a configuration is taken as a whole or refused with a short reason that repeats no secret',
  () => {
    fc.assert(
      fc.property(config, (given) => {
        try {
          const resolved = resolveConfig(given as Partial<ProfilerConfig>);
          for (const field of Object.keys(defaultProfilerConfig())) expect(resolved).toHaveProperty(field);
        } catch (error) {
          if (!isLoopprofError(error)) throw error;
          expect(error.code).toBe('LOOPPROF_INVALID_CONFIG');
          expect(error.message.length).toBeLessThan(1000);
          if (error.message.startsWith('`access`')) expect(error.message).not.toContain(SECRET);
        }
      }),
      budget(5),
    );
  },
  fuzzTimeoutMs,
);

it(
  'a profiler that is given anything starts, or rejects with a reason, and can be stopped',
  async () => {
    await fc.assert(
      fc.asyncProperty(config, async (given) => {
        const harmless: unknown =
          typeof given === 'object' && given !== null && !Array.isArray(given)
            ? { ...(given as object), enableHTTP: false, enableCPU: false, enableMemory: false }
            : given;
        const profiler = new Profiler(harmless as Partial<ProfilerConfig>);
        try {
          await profiler.start();
        } catch (error) {
          expect(isLoopprofError(error)).toBe(true);
        } finally {
          await profiler.stop();
        }
      }),
      budget(0.5),
    );
  },
  fuzzTimeoutMs,
);

it(
  'an address is split into what it says, or is none',
  () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.webAuthority()), (address) => {
        const parsed = parseAddress(address);
        if (parsed) {
          expect(parsed.port).toBeLessThanOrEqual(65_535);
          const { host = '', port } = parsed;
          const forms = [`${host}:${port}`, `[${host}]:${port}`];
          expect(forms).toContain(address.replace(/:0+(\d)/, ':$1'));
        }
        if (socketPath(`unix:${address}`) !== undefined) expect(address.startsWith('/')).toBe(true);
      }),
      budget(10),
    );
  },
  fuzzTimeoutMs,
);
