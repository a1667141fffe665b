// The packages that loopprof is measured beside. They are no dependencies of this repository: they are installed when wanted.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const cache = fileURLToPath(new URL('../../.cache/peers/', import.meta.url));

const prometheus = { 'express-prom-bundle': '8.0.0', 'prom-client': '15.1.3' };

/** OpenTelemetry's packages of today need Node 22.15, fastify-metrics 22.19; for older ones the last that run there. */
const sets = {
  current: {
    ...prometheus,
    fastify: '^5.12.8',
    'fastify-metrics': '14.1.0',
    '@platformatic/prom-client': '^1.0.0',
    '@opentelemetry/api': '1.10.0',
    '@opentelemetry/instrumentation': '0.301.1',
    '@opentelemetry/instrumentation-http': '0.301.0',
    '@opentelemetry/instrumentation-runtime-node': '0.37.0',
    '@opentelemetry/sdk-metrics': '3.1.1',
  },
  older: {
    ...prometheus,
    '@opentelemetry/api': '<1.10',
    '@opentelemetry/instrumentation': '>=0.200 <0.300',
    '@opentelemetry/instrumentation-http': '>=0.200 <0.300',
    '@opentelemetry/instrumentation-runtime-node': '>=0.20 <0.30',
    '@opentelemetry/sdk-metrics': '2',
  },
};

const setFor = (major) => (major >= 24 ? 'current' : 'older');

/** Installs what a Node of that major version can run, once. */
export function installPeers(major) {
  const name = setFor(major);
  const folder = join(cache, name);
  if (existsSync(join(folder, 'node_modules', 'prom-client'))) return;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, dependencies: sets[name] }));
  const flags = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'];
  execFileSync(process.platform === 'win32' ? 'npm.cmd' : 'npm', flags, { cwd: folder, stdio: 'inherit' });
}

/** `require` as a module among them has it. */
export function requirePeer(name) {
  const major = Number(process.versions.node.split('.')[0]);
  return createRequire(join(cache, setFor(major), 'package.json'))(name);
}
