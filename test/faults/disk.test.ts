/** What can go wrong with files while they are written: the app goes on, what is there is whole, and nothing else is touched. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { Profiler, type Manifest, type ProfilerConfig } from '@loopprof/core';
import { runToEnd, startService } from '../support/child.js';
import { newFolder } from '../support/folder.js';
import { keepingLogger } from '../support/logger.js';
import { readProfile } from '../support/profile.js';

const started: Profiler[] = [];
afterEach(() => Promise.all(started.splice(0).map((profiler) => profiler.stop())));

async function start(config: Partial<ProfilerConfig>, logger = keepingLogger()): Promise<Profiler> {
  const profiler = new Profiler({ enableHTTP: false, enableCPU: false, ...config }, logger);
  await profiler.start();
  started.push(profiler);
  return profiler;
}

const writeFailed = (reason: string) => ({
  code: 'LOOPPROF_WRITE_FAILED',
  message: expect.stringContaining(reason) as string,
});

const isUnfinished = (name: string): boolean => name.startsWith('.unfinished-');

/** Throws unless all that shows in a directory is whole; gives how many snapshots there are. */
function checkWhole(profileDir: string): number {
  let snapshots = 0;
  for (const name of readdirSync(profileDir)) {
    const path = join(profileDir, name);
    if (isUnfinished(name)) continue;
    if (name.endsWith('.prof')) {
      readProfile(readFileSync(path));
      continue;
    }
    snapshots += 1;
    const manifest = JSON.parse(readFileSync(join(path, 'manifest.json'), 'utf8')) as Manifest;
    const files = Object.values(manifest.files);
    expect(readdirSync(path).sort()).toEqual([...files.map(({ file }) => file), 'manifest.json'].sort());
    for (const { file, sizeBytes } of files) {
      expect([file, statSync(join(path, file)).size]).toEqual([file, sizeBytes]);
      if (file.endsWith('.prof')) readProfile(readFileSync(join(path, file)));
      else JSON.parse(readFileSync(join(path, file), 'utf8'));
    }
  }
  return snapshots;
}

describe('a process that is killed while it writes', () => {
  const profileDir = join(newFolder(), 'profiles');
  const ROUNDS = 20;
  const unfinished = (): string[] =>
    existsSync(profileDir) ? readdirSync(profileDir).filter(isUnfinished) : [];

  it(`leaves only whole files and whole snapshots behind, ${ROUNDS} times`, async () => {
    const config = JSON.stringify({ enableHTTP: false, profileDir, snapshots: { maxCount: 10 } });
    for (let round = 0; round < ROUNDS; round++) {
      const left = unfinished().length;
      const service = await startService('snapshots.cjs', { args: [config] });
      // Every other time in the files of stop().
      const lines = createInterface({ input: service.child.stdout as NodeJS.ReadableStream });
      let files = 0;
      lines.on('line', () => (files += 1));
      while (round % 2 === 1 && files < 5) await sleep(1);
      // As soon as something is being written, and each time a little later.
      while (unfinished().length === left) await sleep(1);
      await sleep(round % 7);
      await service.stop();
      checkWhole(profileDir);
    }
    expect(checkWhole(profileDir)).toBeGreaterThan(0);
  });

  it('was killed in the middle of it, and the next one clears up what has been left for long', async () => {
    const left = unfinished();
    expect(left.length).toBeGreaterThan(1);
    const old = new Date(Date.now() - 61_000);
    for (const name of left.slice(1)) utimesSync(join(profileDir, name), old, old);
    const profiler = await start({ profileDir, snapshots: { maxCount: 3 } });
    await profiler.captureSnapshot();
    expect(unfinished()).toEqual(left.slice(0, 1));
    expect(checkWhole(profileDir)).toBe(3);
  });
});

/** Mounts a small file system of its own there, or says why that cannot be tested here. */
function mountSmall(folder: string): boolean {
  const { status, stderr, error } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', folder], {
    encoding: 'utf8',
  });
  if (status === 0) return true;
  process.stderr.write(`skipped: a full disk: ${error?.message ?? stderr.trim()}\n`);
  return false;
}

describe('a disk', () => {
  const profileDir = newFolder();
  const ballast = join(profileDir, 'ballast');
  const mounted = mountSmall(profileDir);
  const inMounted = mounted ? it : it.skip;
  afterAll(() => mounted && spawnSync('umount', ['--lazy', profileDir]));

  function fill(): void {
    writeFileSync(ballast, '');
    for (let sizeBytes = 2 ** 20; sizeBytes >= 1024; sizeBytes /= 2) {
      try {
        for (;;) writeFileSync(ballast, Buffer.alloc(sizeBytes, 1), { flag: 'a' });
      } catch {
        // The next smaller piece may fit.
      }
    }
  }

  inMounted('that is full is logged once, costs nothing that was there, and is tried again', async () => {
    const logger = keepingLogger();
    const profiler = await start({ profileDir }, logger);
    await profiler.captureSnapshot();
    fill();
    const before = readdirSync(profileDir).sort();
    for (let attempt = 0; attempt < 3; attempt++)
      await expect(profiler.captureSnapshot()).rejects.toMatchObject(writeFailed('ENOSPC'));
    expect(logger.messages('error')).toHaveLength(1);
    expect(logger.messages('error')[0]).toContain(`\`profileDir\` '${profileDir}': ENOSPC`);
    expect(readdirSync(profileDir).sort()).toEqual(before);
    truncateSync(ballast);
    await profiler.captureSnapshot();
    expect(logger.messages('info')).toContain('loopprof: `profileDir` can be written to again');

    fill();
    await expect(profiler.stop()).resolves.toBeUndefined();
    expect(logger.messages('error')).toHaveLength(2);
    expect(readdirSync(profileDir).filter((name) => name.endsWith('.prof') || isUnfinished(name))).toEqual(
      [],
    );
    rmSync(ballast);
  });

  inMounted('that is read-only is logged once, and tried again', async () => {
    const logger = keepingLogger();
    const profiler = await start({ profileDir }, logger);
    const remount = (how: string) => spawnSync('mount', ['-o', `remount,${how}`, profileDir]);
    remount('ro');
    await expect(profiler.captureSnapshot()).rejects.toMatchObject(writeFailed('EROFS'));
    await expect(profiler.captureSnapshot()).rejects.toMatchObject(writeFailed('EROFS'));
    await expect(new Profiler({ enableHTTP: false, profileDir }).start()).rejects.toMatchObject({
      code: 'LOOPPROF_INVALID_CONFIG',
      message: expect.stringMatching(/^`profileDir` must be .* EROFS/) as string,
    });
    remount('rw');
    await profiler.captureSnapshot();
    expect(logger.messages('error')).toHaveLength(1);
  });
});

describe('a directory', () => {
  it('that may no longer be written to is logged once, and tried again', async () => {
    const folder = newFolder();
    chmodSync(folder, 0o777);
    chmodSync(dirname(folder), 0o755);
    const { code, stdout, stderr } = await runToEnd('loses-rights.cjs', { args: [folder] });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { outcome, left, log } = JSON.parse(stdout) as {
      outcome: string[];
      left: number;
      log: { level: string; message: string }[];
    };
    const denied = expect.stringMatching(/^LOOPPROF_WRITE_FAILED: .*EACCES/) as string;
    const refused = expect.stringMatching(
      /^LOOPPROF_INVALID_CONFIG: `profileDir` must be .*EACCES/,
    ) as string;
    expect(outcome).toEqual([refused, 'done', denied, denied, 'done', 'done']);
    expect(left).toBe(1);
    expect(log.filter(({ level }) => level === 'error')).toHaveLength(2);
  });

  it('that is removed under us is made again', async () => {
    const profileDir = join(newFolder(), 'profiles');
    const logger = keepingLogger();
    const profiler = await start({ profileDir }, logger);
    await profiler.captureSnapshot();
    rmSync(profileDir, { recursive: true });
    const { memory } = await profiler.captureSnapshot();
    expect(existsSync(memory as string)).toBe(true);
    expect(logger.messages('error')).toEqual([]);
  });

  it('that is removed again and again while files are written fails one by one, by the code', async () => {
    const profileDir = join(newFolder(), 'profiles');
    const profiler = await start({ profileDir });
    let removing = true;
    const remover = (async () => {
      for (; removing; await sleep(1)) {
        try {
          rmSync(profileDir, { recursive: true, force: true });
        } catch (error) {
          // A file came into it while it was removed: the next round takes it.
          if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error;
        }
      }
    })();
    const outcomes = new Set<string>();
    for (let attempt = 0; attempt < 60; attempt++)
      outcomes.add(
        await profiler.captureSnapshot().then(
          () => 'done',
          (error: { code: string }) => error.code,
        ),
      );
    removing = false;
    await remover;
    expect([...outcomes].filter((outcome) => !['done', 'LOOPPROF_WRITE_FAILED'].includes(outcome))).toEqual(
      [],
    );
    await profiler.captureSnapshot();
    expect(checkWhole(profileDir)).toBeGreaterThan(0);
  });
});

describe('a symbolic link', () => {
  const VICTIM = 'precious';

  it('planted where stop() writes is replaced, not followed', async () => {
    const folder = newFolder();
    const profileDir = join(folder, 'profiles');
    mkdirSync(profileDir);
    writeFileSync(join(folder, 'victim'), VICTIM);
    symlinkSync('../victim', join(profileDir, 'mem.prof'));
    const profiler = await start({ profileDir });
    await profiler.stop();
    expect(readFileSync(join(folder, 'victim'), 'utf8')).toBe(VICTIM);
    expect(lstatSync(join(profileDir, 'mem.prof')).isFile()).toBe(true);
    readProfile(readFileSync(join(profileDir, 'mem.prof')));
  });

  it('planted under the name of an old snapshot is removed, and what it points to stays', async () => {
    const folder = newFolder();
    const profileDir = join(folder, 'profiles');
    const victim = join(folder, 'victim');
    mkdirSync(profileDir);
    mkdirSync(victim);
    writeFileSync(join(victim, 'file'), VICTIM);
    const planted = join(profileDir, '20200101T000000.000Z-manual-1');
    symlinkSync(victim, planted);
    mkdirSync(join(profileDir, '20200102T000000.000Z-manual-1'));
    symlinkSync(victim, join(profileDir, '20200102T000000.000Z-manual-1', 'inside'));
    const profiler = await start({ profileDir });
    await profiler.captureSnapshot();
    expect(readdirSync(profileDir)).toHaveLength(1);
    expect(readFileSync(join(victim, 'file'), 'utf8')).toBe(VICTIM);
  });

  const itAsRoot = process.getuid?.() === 0 ? it : it.skip;
  itAsRoot('of another user in the place of the directory is refused', async () => {
    const folder = newFolder();
    const victim = join(folder, 'victim');
    mkdirSync(victim);
    mkdirSync(join(victim, '20200101T000000.000Z-manual-1'));
    const profileDir = join(folder, 'profiles');
    symlinkSync(victim, profileDir);
    lchownSync(profileDir, 65_534, 65_534);
    const logger = keepingLogger();
    const profiler = await start({ profileDir }, logger);
    await expect(profiler.captureSnapshot()).rejects.toMatchObject(
      writeFailed('it is a symbolic link that belongs to another user'),
    );
    await profiler.stop();
    expect(logger.messages('error')).toHaveLength(1);
    expect(readdirSync(victim)).toEqual(['20200101T000000.000Z-manual-1']);
  });

  it('of our own in the place of the directory is followed', async () => {
    const folder = newFolder();
    mkdirSync(join(folder, 'elsewhere'));
    symlinkSync('elsewhere', join(folder, 'profiles'));
    const profiler = await start({ profileDir: join(folder, 'profiles') });
    await profiler.captureSnapshot();
    expect(readdirSync(join(folder, 'elsewhere'))).toHaveLength(1);
  });
});

describe('limits', () => {
  it('by size take the oldest away first, before there is too much', async () => {
    const profileDir = newFolder();
    const profiler = await start({ profileDir, snapshots: { maxBytes: 2 ** 20 } });
    const old = ['20200101T000000.000Z-manual-1', '20200102T000000.000Z-manual-1'].map((name) =>
      join(profileDir, name),
    );
    const now = new Date().toISOString().replaceAll(/[-:]/g, '');
    old.push(join(profileDir, `${now}-manual-1`));
    for (const directory of old) {
      mkdirSync(directory);
      writeFileSync(join(directory, 'mem.prof'), Buffer.alloc(400_000));
    }
    await profiler.captureSnapshot();
    expect(old.map((directory) => existsSync(directory))).toEqual([false, false, true]);
  });

  it('by age take away what is too old', async () => {
    const profileDir = newFolder();
    const profiler = await start({ profileDir, snapshots: { maxAgeMs: 60_000 } });
    const named = (ageMs: number) => new Date(Date.now() - ageMs).toISOString().replaceAll(/[-:]/g, '');
    for (const ageMs of [90_000, 61_000, 30_000]) mkdirSync(join(profileDir, `${named(ageMs)}-manual-1`));
    const { memory } = await profiler.captureSnapshot();
    expect(readdirSync(profileDir).sort()).toHaveLength(2);
    expect(existsSync(memory as string)).toBe(true);
  });
});
