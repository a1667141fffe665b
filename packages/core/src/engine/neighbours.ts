/**
 * Other profilers in this process. `@datadog/pprof` samples once per loaded copy and thread: whoever comes second fails, and
 * may take the process's exit code with it. So when somebody else uses it, or is about to, we do not.
 */
import { mainProcess, mainRealmRequire } from '../realm.js';

/** Packages that profile by `@datadog/pprof`. */
const PACKAGES = ['dd-trace', '@pyroscope/nodejs', '@platformatic/flame'];

/** A file of theirs, or the one of `@datadog/pprof` that others load: we load what lies behind it. One look at each of thousands. */
const THEIRS =
  /[\\/]node_modules[\\/](dd-trace|@pyroscope[\\/]nodejs|@platformatic[\\/]flame)[\\/]|[\\/]@datadog[\\/]pprof[\\/]out[\\/]src[\\/]index\.js$/;

/** Whether Node itself was started with a flag such as `--cpu-prof`. */
export function hasNodeFlag(flag: string): boolean {
  const given = [...mainProcess.execArgv, ...(mainProcess.env['NODE_OPTIONS'] ?? '').split(/\s+/)];
  return given.includes(flag);
}

const ON = /^(?:1|true|auto)$/i;

/** Why another profiler is to be expected in this process, in words; undefined when it is not. */
export function neighbour(): string | undefined {
  const { env, execArgv } = mainProcess;
  const found = Object.keys(mainRealmRequire(__filename).cache).filter((file) => THEIRS.test(file));
  const names = found.flatMap((file) => THEIRS.exec(file)?.[1]?.replace('\\', '/') ?? []);
  if (names.length > 0) return `${names[0]} is loaded`;
  if (found.length > 0) return 'somebody else has loaded @datadog/pprof';
  for (const name of PACKAGES) {
    if (execArgv.some((argument) => argument.includes(name))) return `${name} is preloaded`;
    if (env['NODE_OPTIONS']?.includes(name)) return `${name} is named in NODE_OPTIONS`;
  }
  if (ON.test(env['DD_PROFILING_ENABLED'] ?? '')) return 'DD_PROFILING_ENABLED is set';
  return undefined;
}
