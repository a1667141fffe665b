// Once per run of Jest: the folder that all tests, and the programs they start, have as their working directory.
const { mkdtempSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');

module.exports = () => {
  process.env.LOOPPROF_TEST_FOLDER = mkdtempSync(join(tmpdir(), 'loopprof-tests-'));
};
