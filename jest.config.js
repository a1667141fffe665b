/** @type {import('jest').Config} */
module.exports = {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/packages/*/test/**/*.test.ts', '<rootDir>/test/**/*.test.ts'],
  transform: { '\\.ts$': ['ts-jest', { tsconfig: '<rootDir>/test/tsconfig.json' }] },
  // Sources name the file they become ('./x.js'); tests run the sources.
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  // What profilers write goes to a folder of the run's own, not to the repository.
  globalSetup: '<rootDir>/test/support/own-folder/make.cjs',
  setupFiles: ['<rootDir>/test/support/own-folder/enter.cjs'],
  globalTeardown: '<rootDir>/test/support/own-folder/remove.cjs',
  testSequencer: '<rootDir>/test/support/longest-first.cjs',
  modulePathIgnorePatterns: ['<rootDir>/\\.cache/'],
  testTimeout: 120_000,
  // More processes than CI has cores: half of the time of these tests is waiting, and they have to hold on a busy machine.
  maxWorkers: 3,
};
