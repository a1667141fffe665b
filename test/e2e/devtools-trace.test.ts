/** What Chromium's DevTools make of a trace, with the parser of their Performance panel. */
import { setTimeout as sleep } from 'node:timers/promises';
import { startService, type Service } from '../support/child.js';
import { DevToolsPage } from '../support/devtools.js';
import { describeWith } from '../support/tools.js';

interface Loaded {
  rangeMicros: number;
  threads: Record<string, number>;
  samples: number;
  functions: string[];
}

/** Runs in the page. */
const LOAD = `(async () => {
  const { TraceModel } = await import('devtools://devtools/bundled/models/trace/trace.js');
  const model = TraceModel.Model.createWithAllHandlers();
  await model.parse(JSON.parse(traceText).traceEvents, { isFreshRecording: false, isCPUProfile: false });
  const { data } = model.parsedTrace(0);
  const [process] = data.Renderer.processes.values();
  const [profiles] = data.Samples.profilesInProcess.values();
  const [{ parsedProfile }] = profiles.values();
  return {
    rangeMicros: data.Meta.traceBounds.range,
    threads: Object.fromEntries([...process.threads.values()].map(({ name, entries }) => [name, entries.length])),
    samples: parsedProfile.samples.length,
    functions: parsedProfile.nodes().map(({ functionName }) => functionName),
  };
})()`;

describeWith('chromium', 'a trace in DevTools', () => {
  let service: Service | undefined;
  let page: DevToolsPage | undefined;
  afterAll(() => Promise.all([service?.stop(), page?.close()]));

  it('loads with all its tracks and samples', async () => {
    service = await startService('traced.cjs', { args: [JSON.stringify({ sensitive: { trace: true } })] });
    await sleep(500);
    const text = await (await fetch(`${service.url}/trace?seconds=1.5`)).text();
    page = new DevToolsPage();
    await page.open();
    await page.evaluate(`void (globalThis.traceText = ${JSON.stringify(text)})`);
    const loaded = (await page.evaluate(LOAD)) as Loaded;
    expect(loaded.rangeMicros / 1.5e6).toBeGreaterThan(0.8);
    expect(Object.keys(loaded.threads).sort()).toEqual([
      'CPU samples',
      'event loop',
      'event loop blocked',
      'garbage collection',
    ]);
    expect(Math.min(...Object.values(loaded.threads))).toBeGreaterThan(0);
    expect(loaded.samples).toBeGreaterThan(50);
    expect(loaded.functions).toContain('burn');
  });
});
