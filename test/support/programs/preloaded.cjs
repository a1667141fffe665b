// A preload as tracers and loaders bring: it says on stdout whenever it is run.
const { threadId } = require('node:worker_threads');
require('node:fs').writeSync(1, `preloaded in thread ${threadId}\n`);
