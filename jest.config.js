/** @type {import('jest').Config} */
module.exports = {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/packages/*/test/**/*.test.ts', '<rootDir>/test/**/*.test.ts'],
  transform: { '\\.ts$': ['ts-jest', { tsconfig: '<rootDir>/test/tsconfig.json' }] },
  // Sources name the file they become ('./x.js'); tests run the sources.
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  modulePathIgnorePatterns: ['<rootDir>/\\.cache/'],
  testTimeout: 60_000,
  // Two processes even on one core: most of a profile's test is waiting, and a file must not find the sampler of another.
  maxWorkers: 2,
};
