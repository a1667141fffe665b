import type fc from 'fast-check';

/** `npm run fuzz` asks for many; in CI the budget is fixed, and so is where it begins, so that a run says the same twice. */
const runs = Number(process.env['FUZZ_RUNS'] ?? 0);

/** How often a property is tried: `share` of the budget, of which slow properties take less. */
export function budget(share = 1): fc.Parameters<unknown> {
  return runs > 0
    ? { numRuns: Math.max(1, Math.round(runs * share)), verbose: 1 }
    : { numRuns: Math.max(1, Math.round(400 * share)), seed: 4711 };
}

/** For Jest: as long as it takes. */
export const fuzzTimeoutMs = runs > 0 ? 24 * 3_600_000 : 60_000;
