import { join } from 'node:path';
import { Profiler } from '@loopprof/core';
import { burnCpu } from '../support/burn.js';
import { openDoors } from '../support/doors.js';
import { readProfile } from '../support/profile.js';

describe('trimPaths', () => {
  const folder = join(__dirname, '../..');
  const before = process.cwd();
  beforeAll(() => process.chdir(folder));
  afterAll(() => process.chdir(before));

  it.each([true, false])(
    '%p: whether profiles show where the program lies, at every door',
    async (trimPaths) => {
      const open = await openDoors({ access: 'loopback', trimPaths, profileDir: before });
      try {
        burnCpu(300);
        for (const { port, base } of open.doors) {
          for (const path of ['profile?from=now-1m', 'heap', 'heap?debug=1', 'stalls']) {
            const response = await fetch(`http://127.0.0.1:${port}${base}/${path}`);
            expect([path, response.status]).toEqual([path, 200]);
            const bytes = Buffer.from(await response.arrayBuffer());
            const strings =
              bytes[0] === 0x1f ? readProfile(bytes).proto.stringTable.strings : [bytes.toString()];
            const shown = strings.filter((text) => text.includes(folder));
            if (trimPaths) expect([path, shown]).toEqual([path, []]);
            else if (path.startsWith('profile')) expect(shown.length).toBeGreaterThan(0);
          }
        }
      } finally {
        await open.close();
      }
    },
  );
});

describe('what the profiler itself costs', () => {
  interface Runtime {
    profiler: { harvests: number; harvestMs: number; loopShare: number; sidecarActiveMs?: number };
  }

  it.each([true, false])('is in /runtime (sidecar: %p)', async (sidecar) => {
    const profiler = new Profiler({ httpAddr: 'localhost:0', sidecar });
    await profiler.start();
    try {
      const read = async (): Promise<Runtime['profiler']> =>
        ((await (await fetch(`${profiler.address}runtime`)).json()) as Runtime).profiler;
      const before = await read();
      await fetch(`${profiler.address}profile?seconds=1`);
      const after = await read();
      expect(after.harvests).toBeGreaterThan(before.harvests);
      expect(after.harvestMs).toBeGreaterThan(before.harvestMs);
      expect(after.loopShare).toBeGreaterThan(0);
      expect(after.loopShare).toBeLessThan(1);
      if (sidecar) expect(after.sidecarActiveMs).toBeGreaterThan(before.sidecarActiveMs ?? Infinity);
      else expect(after.sidecarActiveMs).toBeUndefined();
    } finally {
      await profiler.stop();
    }
  });
});
