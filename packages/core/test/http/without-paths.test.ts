import { withoutPaths } from '../../src/http/without-paths.js';

it.each([
  [
    "Nothing could be written to `profileDir` '/srv/my app/profiles': ENOTDIR: not a directory, mkdir '/srv/my app/profiles/x'. Make room.",
    "Nothing could be written to `profileDir` '…/profiles': ENOTDIR: not a directory, mkdir '…/x'. Make room.",
  ],
  [
    "Cannot find module '@datadog/pprof'\nRequire stack:\n- /srv/app/node_modules/a/b.js\n- /srv/app/c.js",
    "Cannot find module '@datadog/pprof'\nRequire stack:\n- …/b.js\n- …/c.js",
  ],
  [
    '/srv/app/build/dd_pprof.node: cannot open shared object file: No such file or directory',
    '…/dd_pprof.node: cannot open shared object file: No such file or directory',
  ],
  ['it does not exist (/srv/app/worker.js)', 'it does not exist (…/worker.js)'],
  ["import of file:///srv/app/x.mjs and 'file:///srv/a b/y.mjs'", "import of …/x.mjs and '…/y.mjs'"],
  ["httpAddr 'unix:/run/my app/pprof.sock': EACCES", "httpAddr 'unix:…/pprof.sock': EACCES"],
  ['httpAddr unix:/run/app/pprof.sock: EACCES', 'httpAddr unix:…/pprof.sock: EACCES'],
  [
    "EPERM, mkdir 'C:\\Users\\ada\\profiles' and D:/x/y.node, \\\\host\\share\\z",
    "EPERM, mkdir '…/profiles' and …/y.node, …/z",
  ],
  ["profileDir must be writable, got '/'", "profileDir must be writable, got '…/'"],
])('leaves of where things lie the last part: %j', (message, shown) => {
  expect(withoutPaths(message)).toBe(shown);
});

it.each([
  'The profiler is not running: call start() first.',
  "send it as the password: http://x:TOKEN@host/…, or 'https://host/path'",
  'must be now, now-90s or an ISO 8601 time, and/or `sensitive: { trace: true }`',
  "relative paths such as ./profiles, ../x/y and 'src/a.js' tell nothing; nor does 1 / 2",
])('leaves %j as it is', (message) => {
  expect(withoutPaths(message)).toBe(message);
});
