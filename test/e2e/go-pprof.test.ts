import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { startService, withService, type Service } from '../support/child.js';
import { GoPprof, type Report } from '../support/go-pprof.js';
import { HEAP_TYPES, readProfile, totalOf, type ReadProfile } from '../support/profile.js';
import { describeWith, hasTool } from '../support/tools.js';

const EXAMPLE = resolve(__dirname, '../../examples/express/src/server.js');

const KINDS = {
  profile: {
    path: 'profile?seconds=5',
    shownType: 'cpu',
    types: ['samples/count', 'cpu/nanoseconds'],
    periodType: 'PeriodType: cpu nanoseconds',
    period: 'Period: 10000000',
  },
  heap: {
    path: 'heap',
    shownType: 'inuse_space',
    types: HEAP_TYPES,
    periodType: 'PeriodType: space bytes',
    period: 'Period: 524288',
  },
};
type Kind = keyof typeof KINDS;
const KIND_NAMES = Object.keys(KINDS) as Kind[];

describeWith('go', 'go tool pprof', () => {
  const go = new GoPprof();
  const services: Service[] = [];

  afterAll(async () => {
    await Promise.all(services.map((service) => service.stop()));
    go.close();
  });

  async function start(...args: Parameters<typeof startService>): Promise<string> {
    const service = await startService(...args);
    services.push(service);
    return service.url;
  }

  const newFile = (name: string) => go.newFile(name);
  const pprof = (...args: string[]) => go.run(...args);
  const clean = (...args: string[]) => go.clean(...args);

  function expectTop({ stdout }: Report, kind: Kind): void {
    expect(stdout).toMatch(/^File: server\.js$/m);
    expect(stdout).toMatch(new RegExp(`^Type: ${KINDS[kind].shownType}$`, 'm'));
    const rows =
      stdout
        .split(/^ +flat +flat% .*$/m)[1]
        ?.trim()
        .split('\n') ?? [];
    expect(rows.length).toBeGreaterThan(2);
    // A row: flat, flat%, sum%, cum, cum%, name.
    if (kind === 'profile') expect(rows[0]?.trim().split(/\s+/)[5]).toBe('aggregateSales');
  }

  function expectRaw({ stdout }: Report, kind: Kind): void {
    const { types, periodType, period } = KINDS[kind];
    expect(stdout.split('\n')).toEqual(expect.arrayContaining([periodType, period, types.join(' ')]));
    expect(stdout).toMatch(/^1: 0x10000\/0x800000000000\/0x0 \/.*\/server\.js {2}\[FN\]\[FL\]\[LN\]$/m);
  }

  function expectProto(file: string, kind: Kind): void {
    const profile = readProfile(readFileSync(file));
    expect(profile.sampleTypes).toEqual(KINDS[kind].types);
    expect(totalOf(profile, 1)).toBeGreaterThan(0);
  }

  function expectSvg(file: string, kind: Kind): void {
    const svg = readFileSync(file, 'utf8');
    expect(svg).toMatch(/<svg [^]*<\/svg>\s*$/);
    expect(svg).toContain(`Type: ${KINDS[kind].shownType}`);
    if (kind === 'profile') expect(svg).toContain('aggregateSales');
  }

  describe('on the example under load', () => {
    let url = '';
    let loaded = true;
    let load: Promise<unknown> = Promise.resolve();
    const fetched = new Map<string, { report: Promise<Report>; output: string }>();
    const FORMATS = ['-top', '-raw', '-proto', ...(hasTool('dot') ? ['-svg'] : [])];

    async function keepAsking(): Promise<void> {
      while (loaded) {
        const response = await fetch(`${url}/reports/sales?by=region`);
        if (response.status !== 200) throw new Error(`the example answered ${response.status}`);
        await response.arrayBuffer();
      }
    }

    beforeAll(async () => {
      url = await start(EXAMPLE, { env: { PORT: '0', NODE_ENV: undefined } });
      load = keepAsking();
      // All at once: each takes five seconds.
      for (const kind of KIND_NAMES) {
        for (const format of FORMATS) {
          const output = newFile(`${kind}${format}`);
          const report = pprof(format, '-output', output, `${url}/debug/pprof/${KINDS[kind].path}`);
          fetched.set(`${format} ${kind}`, { report, output });
        }
      }
      await Promise.all([...fetched.values()].map(({ report }) => report));
      loaded = false;
      await load;
    });
    afterAll(() => {
      loaded = false;
      return load;
    });

    async function fetchedReport(format: string, kind: Kind): Promise<Report & { output: string }> {
      const { report, output } = fetched.get(`${format} ${kind}`) as {
        report: Promise<Report>;
        output: string;
      };
      const { code, warnings, ...rest } = await report;
      expect([code, warnings]).toEqual([0, []]);
      return { ...rest, code, warnings, output };
    }
    const written = (output: string): Report => ({ ...NOTHING, stdout: readFileSync(output, 'utf8') });
    const NOTHING: Report = { code: 0, stdout: '', stderr: '', warnings: [], saved: '' };

    describe.each(KIND_NAMES)('%s', (kind) => {
      const onTop = kind === 'profile' ? 'the function of the route on top' : 'functions';
      it(`-top by URL has no warning, the right type and ${onTop}`, async () => {
        expectTop(written((await fetchedReport('-top', kind)).output), kind);
      });

      it('-raw by URL has no warning and the right types and units', async () => {
        expectRaw(written((await fetchedReport('-raw', kind)).output), kind);
      });

      it('-proto by URL has no warning and gives a profile', async () => {
        expectProto((await fetchedReport('-proto', kind)).output, kind);
      });

      it('-top, -raw and -proto of the saved file have no warning and show the same', async () => {
        const { saved } = await fetchedReport('-top', kind);
        expect(saved).toMatch(/pprof\.server\.js\..*\.pb\.gz$/);
        const proto = newFile('again.pb.gz');
        const [top, raw] = await Promise.all([
          clean('-top', saved),
          clean('-raw', saved),
          clean('-proto', '-output', proto, saved),
        ]);
        expectTop(top, kind);
        expectRaw(raw, kind);
        expectProto(proto, kind);
        expect(totalOf(readProfile(readFileSync(proto)), 1)).toBe(
          totalOf(readProfile(readFileSync(saved)), 1),
        );
      });

      it('-base of two fetches has no warning and leaves the difference', async () => {
        const [first, second] = await Promise.all([fetchedReport('-top', kind), fetchedReport('-raw', kind)]);
        await clean('-top', '-base', first.saved, second.saved);
        const difference = newFile('difference.pb.gz');
        await clean('-proto', '-output', difference, '-base', first.saved, second.saved);
        const totalIn = (file: string) => totalOf(readProfile(readFileSync(file)), 1);
        expect(totalIn(difference)).toBe(totalIn(second.saved) - totalIn(first.saved));

        const nothing = await clean('-raw', '-base', first.saved, first.saved);
        expect(nothing.stdout.split('Locations')[0]).not.toMatch(/^ +-?[1-9]/m);
      });
    });

    describeWith('dot', 'with graphviz', () => {
      it.each(KIND_NAMES)(
        '-svg of the %s by URL and of the saved file has no warning and shows the graph',
        async (kind) => {
          const { output, saved } = await fetchedReport('-svg', kind);
          expectSvg(output, kind);
          const again = newFile('again.svg');
          await clean('-svg', '-output', again, saved);
          expectSvg(again, kind);
        },
      );
    });
  });

  describe('on labels', () => {
    it('-tags tells the routes, -tagfocus takes one, -tagroot has them at the root', async () => {
      const { saved } = await withService('labelled.cjs', { args: ['express'] }, ({ url }) =>
        clean('-top', `${url}/debug/pprof/profile?seconds=3`),
      );
      const tags = (await clean('-tags', saved)).stdout;
      expect(tags).toMatch(/^ route: Total /m);
      for (const route of ['/three/:id', '/one/:id']) expect(tags).toContain(`: ${route}`);
      expect(tags).toMatch(/^ tenant: Total /m);

      const focused = newFile('focused.pb.gz');
      await clean('-proto', '-output', focused, '-tagfocus=route=/three/:id', saved);
      const { samples } = readProfile(readFileSync(focused));
      expect(new Set(samples.map(({ labels }) => labels['route']))).toEqual(new Set(['/three/:id']));

      const rooted = newFile('rooted.pb.gz');
      await clean('-proto', '-output', rooted, '-tagroot=route', saved);
      const roots = readProfile(readFileSync(rooted)).samples.map(({ stack }) => stack.at(-1)?.name);
      expect(roots).toEqual(expect.arrayContaining(['/three/:id', '/one/:id']));
    });
  });

  describe('on the heap as text', () => {
    let index = '';
    beforeAll(async () => {
      index = await start('retain.cjs', { args: ['20', '65536'] });
    });

    it('reads the same total as from the binary that is fetched right after', async () => {
      const file = newFile('heap.txt');
      writeFileSync(file, await (await fetch(`${index}/heap?debug=1&gc=1`)).text());
      const binary = newFile('heap.pb.gz');
      writeFileSync(binary, Buffer.from(await (await fetch(`${index}/heap?gc=1`)).arrayBuffer()));

      const raw = await pprof('-raw', file);
      expect(raw.code).toBe(0);
      expect(raw.stdout).toContain(
        'alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes',
      );

      const converted = newFile('text.pb.gz');
      expect((await pprof('-proto', '-output', converted, file)).code).toBe(0);
      const text = readProfile(readFileSync(converted));
      const bytesIn = (profile: ReadProfile) =>
        totalOf(profile, profile.sampleTypes.indexOf('inuse_space/bytes'));
      expect(bytesIn(text) / bytesIn(readProfile(readFileSync(binary)))).toBeGreaterThan(0.97);
      expect(bytesIn(text) / bytesIn(readProfile(readFileSync(binary)))).toBeLessThan(1.03);

      const top = await pprof('-top', file);
      expect(top.code).toBe(0);
      expect(top.stdout).toMatch(/^Type: inuse_space$/m);
    });

    it('reads it by URL without a warning, with the names that it asks for afterwards', async () => {
      const top = await clean('-top', `${index}/heap?debug=1&gc=1`);
      expect(top.stdout).toMatch(/^Type: inuse_space$/m);
      expect(top.stdout).toMatch(/ retainedRecords$/m);
      const converted = newFile('url-text.pb.gz');
      await clean('-proto', '-output', converted, `${index}/heap?debug=1&gc=1`);
      const text = readProfile(readFileSync(converted));
      expect(text.samples.flatMap(({ stack }) => stack).filter(({ name }) => name === '')).toEqual([]);
    });
  });

  describe('on profiles behind a token', () => {
    const TOKEN = 'a-token-of-some-length';
    let index = '';
    beforeAll(async () => {
      index = await start('host.cjs', { args: [JSON.stringify({ access: { token: TOKEN } })] });
    });

    it('takes the token as the password in the URL', async () => {
      const report = await clean('-top', `${index.replace('://', `://x:${TOKEN}@`)}/heap`);
      expect(report.stdout).toMatch(/^Type: inuse_space$/m);
    });

    it('shows how to send the token to whoever has not', async () => {
      const report = await pprof('-top', `${index}/heap`);
      expect(report.code).not.toBe(0);
      expect(report.stderr).toContain('closed: send the token as');
    });

    it('shows the rule of a parameter to whoever breaks it', async () => {
      const report = await pprof('-top', `${index.replace('://', `://x:${TOKEN}@`)}/profile?seconds=1.5`);
      expect(report.code).not.toBe(0);
      expect(report.stderr).toContain('must be a positive integer up to 300 (maxSeconds)');
    });
  });
});
