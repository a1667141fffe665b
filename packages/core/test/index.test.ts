import * as core from '../src/index.js';

it('exports these names and no other', () => {
  expect(Object.keys(core).sort()).toMatchInlineSnapshot(`
   [
     "LoopprofError",
     "Profiler",
     "answerPprof",
     "checkMountPath",
     "defaultProfilerConfig",
     "getProfiler",
     "isLoopprofError",
     "mountHandler",
     "pathBelow",
     "pathOf",
     "servePprof",
   ]
  `);
});
