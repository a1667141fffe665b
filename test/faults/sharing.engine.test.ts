import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { runToEnd } from '../support/child.js';
import { readProfile } from '../support/profile.js';

const ROOT = resolve(__dirname, '../..');

let room = '';
beforeAll(() => {
  room = realpathSync(mkdtempSync(join(tmpdir(), 'loopprof-sharing-')));
  for (const name of ['core', 'express']) installCopy(name, room);
});
afterAll(() => rmSync(room, { recursive: true, force: true }));

/** Installs a package a second time, as npm does when two packages want different versions. What it needs of others is there once. */
function installCopy(packageName: string, folder: string): void {
  const source = join(ROOT, 'packages', packageName);
  const target = join(folder, 'node_modules/@loopprof', packageName);
  mkdirSync(target, { recursive: true });
  cpSync(join(source, 'package.json'), join(target, 'package.json'));
  cpSync(join(source, 'dist'), join(target, 'dist'), { recursive: true });
  const { dependencies } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  for (const name of Object.keys(dependencies)) {
    const link = join(folder, 'node_modules', name);
    if (existsSync(link)) continue;
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules', name), link);
  }
}

interface Answer {
  cpu: { status: number; body: string };
  heap: { status: number; body: string };
}
interface Told {
  copies: number;
  answers: { all: Record<string, Answer>; afterStop: Record<string, Answer>; again: Answer };
  /** Of each copy: the counts of its series of the one route. */
  counts: number[][];
  logged: { holder: string; level: string; message: string }[];
}

describe('two profilers, a middleware and a second installed copy', () => {
  let told: Told | undefined;
  const profileIn = ({ body }: { body: string }) => readProfile(Buffer.from(body, 'base64'));

  beforeAll(async () => {
    const { code, stdout, stderr } = await runToEnd('sharing.cjs', { args: [room] });
    if (code !== 0 || stderr !== '') throw new Error(`ended with ${code}: ${stderr}`);
    told = JSON.parse(stdout) as Told;
  });

  it('are told apart by nothing but their names: two copies run', () => {
    expect(told?.copies).toBe(2);
  });

  it('all answer profiles, from the one recorder of the first', () => {
    for (const [name, { cpu, heap }] of Object.entries(told?.answers.all ?? {})) {
      expect([name, cpu.status, heap.status]).toEqual([name, 200, 200]);
      expect([name, profileIn(cpu).period, profileIn(heap).period]).toEqual([name, 10_000_000, 65_536]);
      expect([name, profileIn(cpu).durationMs]).toEqual([name, 1000]);
    }
    expect(Object.keys(told?.answers.all ?? {}).sort()).toEqual(['copy', 'first', 'middleware', 'second']);
  });

  it('count a request once, though a middleware of each copy has seen it', () => {
    expect(told?.counts).toEqual([[5], [5]]);
  });

  it('go on when others stop, the one that started the recorder among them', () => {
    for (const name of ['middleware', 'copy']) {
      const { cpu, heap } = told?.answers.afterStop[name] as Answer;
      expect([name, cpu.status, heap.status]).toEqual([name, 200, 200]);
      expect(profileIn(heap).samples.length).toBeGreaterThan(0);
    }
  });

  it('start a recorder of their own options when all have stopped', () => {
    const { cpu, heap } = told?.answers.again as Answer;
    expect([cpu.status, heap.status]).toEqual([200, 200]);
    expect([profileIn(cpu).period, profileIn(heap).period]).toEqual([20_000_000, 65_536]);
  });

  it('are warned, each about the options that have no effect, and of nothing else', () => {
    const said = (told?.logged ?? [])
      .filter(({ message }) => !message.includes('the event loop was held'))
      .map(({ holder, level, message }) => `${holder} ${level}: ${message}`);
    expect(said.sort()).toEqual([
      expect.stringMatching(/^copy warn: .*memorySampleBytes 65536; 131072 has no effect/),
      expect.stringMatching(/^second middleware warn: .*`maxSeconds`.*no effect/),
      // The program itself has used @datadog/pprof in between.
      expect.stringMatching(/^second warn: .*samples by the inspector .*somebody else has loaded @datadog/),
      expect.stringMatching(/^second warn: .*cpuSampleIntervalMicros 10000; 20000 has no effect/),
    ]);
  });
});

describe('test files under Jest, each a realm of its own', () => {
  const TEST = (name: string, first = '') => `
    const { createServer } = require('node:http');
    const { getProfiler, pathBelow, pathOf, Profiler, servePprof } = require('@loopprof/core');

    const logged = [];
    const at = (level) => (details, message) => logged.push(level + ': ' + message);
    const logger = { debug: () => {}, info: () => {}, warn: at('warn'), error: at('error') };

    function burn_${name}() {
      const endsAt = performance.now() + 30;
      while (performance.now() < endsAt) for (let n = 0; n < 2000; n++) Math.sqrt(n);
    }

    test('${name} fetches a profile and stops nothing', async () => {
      ${first}
      const profiler = new Profiler({ httpAddr: 'localhost:0' }, logger);
      await profiler.start();
      getProfiler({}, logger);
      // There is no standalone server in a worker thread.
      const handler = profiler.createHandler();
      const server = createServer((req, res) =>
        servePprof(handler, { req, res }, { path: pathBelow(pathOf(req.url), '/debug/pprof'), url: req.url }),
      );
      await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
      const base = profiler.address ?? 'http://127.0.0.1:' + server.address().port + '/debug/pprof/';
      const timer = setInterval(burn_${name}, 40);
      const responses = await Promise.all(
        ['profile?seconds=1', 'heap', ''].map((path) => fetch(base + path)),
      );
      clearInterval(timer);
      expect(responses.map(({ status }) => status)).toEqual([200, 200, 200]);
      const bytes = Buffer.from(await responses[0].arrayBuffer());
      expect(require('node:zlib').gunzipSync(bytes).includes('burn_${name}')).toBe(true);
      // How busy the machine is does not matter here.
      const expected = /The event loop has been blocked|the event loop was held|a worker thread of the app/;
      const lacks = (await responses[2].text()).match(/Degraded: .*/g) ?? [];
      expect([...lacks, ...logged].filter((line) => !expected.test(line))).toEqual([]);
      await new Promise((resolve) => server.close(resolve).closeAllConnections());
    });
  `;

  it.each([
    ['one process', ['--runInBand']],
    ['worker threads', ['--workerThreads', '--maxWorkers', '2']],
  ])('share one recorder per thread in %s, and Jest ends by itself', async (where, args) => {
    writeFileSync(join(room, 'package.json'), '{"name":"a-users-project","private":true}');
    // With 'on', as little as Jest can leave is left of a realm when its test file is done.
    const environment = "testEnvironment: 'node', testEnvironmentOptions: { globalsCleanup: 'on' }";
    writeFileSync(
      join(room, 'jest.config.js'),
      `module.exports = { ${environment}, transform: {}, testTimeout: 60_000 };`,
    );
    // The recorder has timers of its own, whatever a test does to setTimeout in its realm.
    const realOnes = [
      'Date',
      'hrtime',
      'nextTick',
      'performance',
      'queueMicrotask',
      'setImmediate',
      'setInterval',
    ];
    const fakeTimers = `jest.useFakeTimers({ doNotFake: ${JSON.stringify([...realOnes, 'clearInterval'])} });`;
    for (const name of ['one', 'two']) writeFileSync(join(room, `${name}.test.js`), TEST(name));
    writeFileSync(join(room, 'three.test.js'), TEST('three', fakeTimers));
    const report = join(room, 'report.json');
    const { code, stderr } = await runToEnd(require.resolve('jest/bin/jest'), {
      args: [
        ...args,
        '--json',
        '--outputFile',
        report,
        '--cacheDirectory',
        join(room, `cache of ${where}`),
        '--rootDir',
        room,
      ],
      cwd: room,
    });
    expect(stderr).not.toMatch(/another profiler is already active|did not exit|open handle/);
    expect([code, code === 0 || stderr]).toEqual([0, true]);
    expect(JSON.parse(readFileSync(report, 'utf8'))).toMatchObject({ numPassedTests: 3, numFailedTests: 0 });
  });
});
