// With --require: the addon of the engine cannot be loaded, as on a system that it was not built for.
const Module = require('node:module');

const load = Module._load;
Module._load = function (request, ...rest) {
  if (request === '@datadog/pprof/out/src/time-profiler-bindings') {
    throw new Error(`${__dirname}/dd_pprof.node: invalid ELF header`);
  }
  return load.call(this, request, ...rest);
};
