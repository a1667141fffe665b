import { trimPath } from '../../src/symbols/trim-path.js';

it.each([
  ['/srv/app/src/server.js', '/srv/app', 'src/server.js'],
  ['/srv/app/node_modules/koa/lib/application.js', '/srv/app', 'node_modules/koa/lib/application.js'],
  ['/srv/node_modules/koa/lib/application.js', '/srv/app', 'node_modules/koa/lib/application.js'],
  ['/srv/application/server.js', '/srv/app', 'server.js'],
  ['/etc/passwd', '/srv/app', 'passwd'],
  ['/srv/server.js', '/', 'srv/server.js'],
  ['node:internal/timers', '/srv/app', 'node:internal/timers'],
  ['webpack://shop/src/a.ts', '/srv/app', 'webpack://shop/src/a.ts'],
  ['C:\\Users\\ada\\node_modules\\koa\\index.js', '/srv/app', 'node_modules\\koa\\index.js'],
  ['', '/srv/app', ''],
])('%s seen from %s is %s', (file, folder, shown) => {
  expect(trimPath(file, folder)).toBe(shown);
});
