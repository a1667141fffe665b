import fc from 'fast-check';
import { encodeProfile } from '../../packages/core/src/pprof/encode.js';
import type { ProfileData } from '../../packages/core/src/pprof/profile-data.js';
import { budget, fuzzTimeoutMs } from '../support/fuzz.js';
import { readProfile } from '../support/profile.js';

/** UTF-8 has no lone surrogates. */
const name = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.constantFrom('', '__proto__'),
);
const frame = fc.record({ name, file: name, line: fc.nat(), column: fc.nat(0xffff) });
const sample = fc.record({
  stack: fc.array(frame, { maxLength: 8 }),
  values: fc.tuple(fc.maxSafeInteger(), fc.maxSafeInteger()).map((values) => [...values]),
  labels: fc.dictionary(
    fc.string({ minLength: 1, maxLength: 8 }),
    fc.string({ minLength: 1, maxLength: 8 }),
    { maxKeys: 3 },
  ),
});

it(
  'any profile comes back from its bytes as it was',
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(sample, { maxLength: 40 }), async (samples) => {
        const data: ProfileData = {
          sampleTypes: [
            { type: 'samples', unit: 'count' },
            { type: 'cpu', unit: 'nanoseconds' },
          ],
          periodType: { type: 'cpu', unit: 'nanoseconds' },
          period: 1,
          timeNanos: 0n,
          comments: [],
          samples,
        };
        const bytes = await encodeProfile(data, { mappingFile: 'x', breathe: () => Promise.resolve() });
        const read = readProfile(bytes);
        expect(
          read.samples.map(({ stack, values, labels }) => ({
            stack: stack.map(({ name: shown, file, line }) => [shown, file, line]),
            values,
            labels: Object.entries(labels).sort(),
          })),
        ).toEqual(
          samples.map(({ stack, values, labels }) => ({
            stack: stack.map(({ name: shown, file, line }) => [shown, file, line]),
            values,
            labels: Object.entries(labels).sort(),
          })),
        );
      }),
      budget(0.5),
    );
  },
  fuzzTimeoutMs,
);
