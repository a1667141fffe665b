// To be run by `node --test`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Profiler } from '@loopprof/core';

test('a profile inside node:test', async () => {
  const profiler = new Profiler({ httpAddr: 'localhost:0' });
  await profiler.start();
  const response = await fetch(`${profiler.address}profile?seconds=1`);
  assert.equal(response.status, 200);
  assert.equal((await fetch(`${profiler.address}heap`)).status, 200);
  await profiler.stop();
});

test('a profiler that is left running does not keep the run alive', async () => {
  const profiler = new Profiler({ httpAddr: 'localhost:0' });
  await profiler.start();
  assert.equal((await fetch(`${profiler.address}heap`)).status, 200);
});
