import * as core from '../src/index.js';

it('exports these names and no other', () => {
  expect(Object.keys(core).sort()).toMatchInlineSnapshot(`
   [
     "LoopprofError",
     "ProfileType",
     "Profiler",
     "ProfilingManager",
     "answerPprof",
     "checkMountPath",
     "createMount",
     "defaultProfilerConfig",
     "getProfiler",
     "getRequestTiming",
     "isLoopprofError",
     "measureWait",
     "pathBelow",
     "pathOf",
     "requestSlot",
     "servePprof",
     "setRequestRoute",
     "withLabels",
   ]
  `);
});
