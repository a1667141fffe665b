import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runToEnd } from '../support/child.js';
import { cumulativeOf, readProfile } from '../support/profile.js';

const CPU = 1;
const MODULES = 20;

/** A capture works in pieces of some ms, so a slow machine needs more of them; one turn per piece of work were about a hundred. */
const MOST_TURNS = 40;

describe.each(['datadog', 'inspector'])(
  'a process whose event loop is never idle, by the engine %s',
  (engine) => {
    const room = mkdtempSync(join(tmpdir(), 'loopprof-saturated-'));
    afterAll(() => rmSync(room, { recursive: true, force: true }));

    let captures: { status: number; turnsAfter: number; body: string }[] = [];
    beforeAll(async () => {
      for (let index = 0; index < MODULES; index++) {
        writeFileSync(
          join(room, `module-${index}.js`),
          `module.exports = function burn${index}(ms) {
          const endsAt = performance.now() + ms;
          let sum = 0;
          while (performance.now() < endsAt) for (let n = 0; n < 500; n++) sum += Math.sqrt(n);
          return sum;
        };`,
        );
      }
      const { code, stdout, stderr } = await runToEnd('saturated.cjs', {
        args: [room],
        env: { ENGINE: engine },
      });
      if (code !== 0) throw new Error(`ended with ${code}: ${stderr}`);
      captures = JSON.parse(stdout) as typeof captures;
    });

    it('is profiled all the same, every module of it', () => {
      expect(captures.map(({ status }) => status)).toEqual([200, 200]);
      for (const { body } of captures) {
        const profile = readProfile(Buffer.from(body, 'base64'));
        const missing = Array.from({ length: MODULES }, (_, index) => `burn${index}`).filter(
          (name) => cumulativeOf(profile, name, CPU) === 0,
        );
        expect(missing.length).toBeLessThan(MODULES / 2);
      }
    });

    it('needs no more than a few turns of its loop to give the answer, the first time too', () => {
      expect(
        captures.filter(({ turnsAfter }) => turnsAfter > MOST_TURNS).map(({ turnsAfter }) => turnsAfter),
      ).toEqual([]);
    });
  },
);
