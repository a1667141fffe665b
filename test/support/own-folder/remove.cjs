const { rmSync } = require('node:fs');

module.exports = () => rmSync(process.env.LOOPPROF_TEST_FOLDER, { recursive: true, force: true });
