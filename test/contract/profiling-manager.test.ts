import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ProfileType, ProfilingManager, type Manifest, type ProfilerConfig } from '@loopprof/core';
import { burnCpu } from '../support/burn.js';
import { runToEnd } from '../support/child.js';
import { newFolder } from '../support/folder.js';
import { readProfile, totalOf, type ReadProfile } from '../support/profile.js';

const CPU = 1;

const profileIn = (path: string): ReadProfile => readProfile(readFileSync(path));
const code = (name: string) => ({ name: 'LoopprofError', code: `LOOPPROF_${name}` });

const managers: ProfilingManager[] = [];
afterEach(() => Promise.all(managers.splice(0).map((manager) => manager.stop())));

function newManager(config: Partial<ProfilerConfig> = {}): ProfilingManager {
  const manager = new ProfilingManager({ profileDir: newFolder(), ...config });
  managers.push(manager);
  return manager;
}

/** Until the profile has ended by itself: its file is the only one there. */
async function fileIn(profileDir: string): Promise<string> {
  for (;;) {
    const [directory] = readdirSync(profileDir).filter((name) => !name.startsWith('.'));
    if (directory !== undefined) return join(profileDir, directory, 'cpu.prof');
    await sleep(20);
  }
}

describe('a CPU profile', () => {
  it('covers the time from its start to its stop, and not what was before', async () => {
    const manager = newManager();
    await manager.startProfile(ProfileType.CPU, 60_000);
    burnCpu(300);
    await manager.stopProfile(ProfileType.CPU);

    const startedMs = Date.now();
    await manager.startProfile(ProfileType.CPU, 60_000);
    burnCpu(200);
    const stoppedMs = Date.now();
    const path = await manager.stopProfile(ProfileType.CPU);

    expect(isAbsolute(path)).toBe(true);
    expect(path).toMatch(new RegExp(`\\d{8}T\\d{6}\\.\\d{3}Z-cpu-profile-${process.pid}/cpu\\.prof$`));
    const profile = profileIn(path);
    expect(profile.timeMs).toBeGreaterThanOrEqual(startedMs);
    expect(profile.timeMs + profile.durationMs).toBeGreaterThanOrEqual(stoppedMs);
    expect(totalOf(profile, CPU)).toBeGreaterThan(150e6);
    const { window } = JSON.parse(readFileSync(join(dirname(path), 'manifest.json'), 'utf8')) as Manifest;
    expect(Date.parse(window.to) - Date.parse(window.from)).toBe(profile.durationMs);
  });

  it('that ends by itself writes its file, and stopProfile still gives its path, once', async () => {
    const profileDir = newFolder();
    const manager = newManager({ profileDir });
    await manager.startProfile(ProfileType.CPU, 400);
    const written = await fileIn(profileDir);
    expect(profileIn(written).durationMs).toBe(400);
    expect(await manager.stopProfile(ProfileType.CPU)).toBe(written);
    await expect(manager.stopProfile(ProfileType.CPU)).rejects.toMatchObject(code('NOT_STARTED'));
  });

  it('that has ended by itself may be followed by the next without a stop', async () => {
    const profileDir = newFolder();
    const manager = newManager({ profileDir });
    await manager.startProfile(ProfileType.CPU, 50);
    const first = await fileIn(profileDir);
    await manager.startProfile(ProfileType.CPU, 60_000);
    expect(await manager.stopProfile(ProfileType.CPU)).not.toBe(first);
    expect(existsSync(first)).toBe(true);
  });

  it('is thrown away when its signal aborts', async () => {
    const profileDir = newFolder();
    const manager = newManager({ profileDir });
    const controller = new AbortController();
    await manager.startProfile(ProfileType.CPU, 60_000, { signal: controller.signal });
    await manager.startProfile(ProfileType.MEMORY, 60_000, { signal: controller.signal });
    controller.abort();
    for (const type of [ProfileType.CPU, ProfileType.MEMORY])
      await expect(manager.stopProfile(type)).rejects.toMatchObject(code('ABORTED'));
    await expect(
      manager.startProfile(ProfileType.CPU, 60_000, { signal: controller.signal }),
    ).rejects.toMatchObject(code('ABORTED'));
    await expect(manager.stopProfile(ProfileType.CPU)).rejects.toMatchObject(code('NOT_STARTED'));
    expect(readdirSync(profileDir)).toEqual([]);
  });
});

describe('several profiles', () => {
  it('of different types run at the same time, each of the same type only once', async () => {
    const manager = newManager();
    await Promise.all([
      manager.startProfile(ProfileType.CPU, 60_000),
      manager.startProfile(ProfileType.MEMORY, 60_000),
    ]);
    await expect(manager.startProfile(ProfileType.CPU, 60_000)).rejects.toMatchObject({
      ...code('ALREADY_STARTED'),
      message: expect.stringContaining("stopProfile('cpu')") as string,
    });
    burnCpu(50);
    const [cpu, memory] = await Promise.all([
      manager.stopProfile(ProfileType.CPU),
      manager.stopProfile(ProfileType.MEMORY),
    ]);
    expect(profileIn(cpu).sampleTypes).toEqual(['samples/count', 'cpu/nanoseconds']);
    expect(profileIn(memory).sampleTypes).toContain('inuse_space/bytes');
  });

  it('are ended and written by stop(), after which the manager can be used again', async () => {
    const profileDir = newFolder();
    const manager = newManager({ profileDir });
    await manager.startProfile(ProfileType.CPU, 60_000);
    await manager.startProfile(ProfileType.MEMORY, 60_000);
    burnCpu(50);
    await manager.stop();
    expect(readdirSync(profileDir).map((name) => name.split('-')[1])).toEqual(
      expect.arrayContaining(['cpu', 'memory']),
    );
    await manager.startProfile(ProfileType.MEMORY, 10);
    expect(profileIn(await manager.stopProfile(ProfileType.MEMORY)).samples.length).toBeGreaterThan(0);
  });
});

describe('what is refused', () => {
  it('a type that there is none of, by name', async () => {
    const manager = newManager();
    const refused = {
      ...code('UNKNOWN_PROFILE'),
      message: "There is no profile type 'heap'. Types are: cpu, memory, block, mutex, goroutine.",
    };
    await expect(manager.startProfile('heap' as ProfileType, 1000)).rejects.toMatchObject(refused);
    await expect(manager.stopProfile('heap' as ProfileType)).rejects.toMatchObject(refused);
  });

  it.each([0, -1, 1.5, 3_600_001, Number.NaN, '1000', undefined])('a duration of %p', async (durationMs) => {
    await expect(newManager().startProfile(ProfileType.CPU, durationMs as number)).rejects.toMatchObject({
      ...code('INVALID_PARAMETER'),
      message: expect.stringMatching(/^`durationMs` must be an integer from 1 to 3600000, got /) as string,
    });
  });

  it('a stop without a start', async () => {
    await expect(newManager().stopProfile(ProfileType.CPU)).rejects.toMatchObject({
      ...code('NOT_STARTED'),
      message: "No cpu profile was started: call startProfile('cpu', durationMs) first.",
    });
  });

  it('a profile that is turned off', async () => {
    const manager = newManager({ enableMemory: false });
    await expect(manager.startProfile(ProfileType.MEMORY, 1000)).rejects.toMatchObject({
      ...code('PROFILE_DISABLED'),
      message: 'The memory profile is turned off: `enableMemory` is false.',
    });
  });

  it('a configuration with a mistake, by every call', async () => {
    const manager = newManager({ windowMs: 1 });
    const refused = code('INVALID_CONFIG');
    await expect(manager.startProfile(ProfileType.CPU, 1000)).rejects.toMatchObject(refused);
    await expect(manager.captureAllProfiles()).rejects.toMatchObject(refused);
    expect(() => manager.getMetrics()).toThrow(expect.objectContaining(refused) as Error);
  });

  it('a profile without an engine, at its start', async () => {
    const { code: exitCode, stdout } = await runToEnd('manager-without-engine.cjs', {
      nodeArgs: ['--require', join(__dirname, '../support/programs/break-engine.cjs')],
      cwd: newFolder(),
    });
    expect([exitCode, JSON.parse(stdout)]).toEqual([
      0,
      [{ code: 'LOOPPROF_ENGINE_UNAVAILABLE' }, { code: 'LOOPPROF_NOT_STARTED' }],
    ]);
  });

  it('a directory that has become a file: told by stopProfile', async () => {
    const profileDir = join(newFolder(), 'profiles');
    const manager = newManager({ profileDir });
    await manager.startProfile(ProfileType.MEMORY, 60_000);
    rmSync(profileDir, { recursive: true, force: true });
    writeFileSync(profileDir, '');
    await expect(manager.stopProfile(ProfileType.MEMORY)).rejects.toMatchObject({
      ...code('WRITE_FAILED'),
      message: expect.stringContaining(`\`profileDir\` '${profileDir}'`) as string,
    });
  });
});

describe('captureAllProfiles()', () => {
  it('writes every profile; asked first of all, it waits for a second of CPU', async () => {
    const manager = newManager();
    const capturing = manager.captureAllProfiles();
    burnCpu(100);
    const paths = await capturing;
    expect(Object.keys(paths)).toEqual(expect.arrayContaining(['cpu', 'memory']));
    expect(profileIn(paths.cpu as string).durationMs).toBeGreaterThanOrEqual(990);
    expect(totalOf(profileIn(paths.cpu as string), CPU)).toBeGreaterThan(50e6);
    expect(readdirSync(dirname(paths.cpu as string))).toContain('manifest.json');
    expect(new Set(Object.values(paths).map((path) => dirname(path))).size).toBe(1);
  });

  it('gives up when its signal aborts', async () => {
    const controller = new AbortController();
    const capturing = newManager().captureAllProfiles({ signal: controller.signal });
    controller.abort();
    await expect(capturing).rejects.toMatchObject(code('ABORTED'));
  });
});

it('getMetrics() gives numbers at once, and starts the recorder', () => {
  const { alloc, sys, uptimeMs } = newManager().getMetrics();
  expect(alloc).toBeGreaterThan(1e6);
  expect(sys).toBeGreaterThan(alloc);
  expect(uptimeMs).toBeGreaterThan(0);
});

it('opens no port and writes nothing that nobody asked for', async () => {
  const profileDir = join(newFolder(), 'new');
  const { code: exitCode, stdout } = await runToEnd('manager-idle.cjs', { args: [profileDir] });
  expect([exitCode, stdout]).toEqual([0, '[]\n']);
  expect(existsSync(profileDir)).toBe(false);
});
