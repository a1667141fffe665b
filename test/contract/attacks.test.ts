/** Ways in that must not be, at every door. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { attacks, LOCAL, paths, sendAll } from '../support/attacks.js';
import { rawRequest } from '../support/raw.js';
import { openDoors, type Door, type Doors } from '../support/doors.js';

const NAMES = [
  'standalone',
  ...['Express 5', 'Express 4', 'Koa 3', 'Koa 2'].flatMap((app) => [`${app}, middleware`, `${app}, router`]),
  'Fastify 5',
  'node:http',
];

describe('the table of attacks', () => {
  const profileDir = path.join(mkdtempSync(path.join(tmpdir(), 'loopprof-attacks-')), 'profiles');
  const written = (): number => (existsSync(profileDir) ? readdirSync(profileDir).length : 0);
  let open: Doors;
  beforeAll(async () => (open = await openDoors({ access: 'loopback', enableCPU: false, profileDir })));
  afterAll(async () => {
    await open.close();
    rmSync(path.dirname(profileDir), { recursive: true });
  });

  it('goes to every door', () => {
    expect(open.doors.map(({ name }) => name)).toEqual(NAMES);
  });

  it.each(NAMES)('gets nothing from %s, which still answers whom it should', async (name) => {
    const door = open.doors.find((each) => each.name === name) as Door;
    const welcome = () => rawRequest(door.port, [`GET ${door.base}/heap HTTP/1.1`, LOCAL]);
    expect((await welcome()).body.slice(0, 2)).toBe('\x1f\x8b');
    const files = written();
    expect(await sendAll(door, attacks(door))).toEqual([]);
    expect(written()).toBe(files);
    expect((await welcome()).body.slice(0, 2)).toBe('\x1f\x8b');
    const snapshot = [`POST ${door.base}/snapshot HTTP/1.1`, LOCAL, 'Content-Length: 0'];
    expect((await rawRequest(door.port, snapshot)).status).toBe(201);
    expect(written()).toBeGreaterThan(files);
  });
});

describe('the table of attacks, with nothing that gives the attacker away', () => {
  const before = process.env['NODE_ENV'];
  let open: Doors;
  beforeAll(async () => {
    process.env['NODE_ENV'] = 'production';
    open = await openDoors({ enableCPU: false });
  });
  afterAll(async () => {
    process.env['NODE_ENV'] = before;
    await open.close();
  });

  it.each(NAMES.slice(1))('gets nothing from %s in production', async (name) => {
    const door = open.doors.find((each) => each.name === name) as Door;
    const rows = paths(door.base).map((path) => ({ name: path, lines: [`GET ${path} HTTP/1.1`, LOCAL] }));
    expect(await sendAll(door, [...rows, ...attacks(door)])).toEqual([]);
    const refusal = await rawRequest(door.port, [`GET ${door.base}/heap HTTP/1.1`, LOCAL]);
    expect([refusal.status, refusal.body]).toEqual([
      403,
      expect.stringMatching(/^closed: NODE_ENV is production[^\n]*\n$/),
    ]);
  });
});
