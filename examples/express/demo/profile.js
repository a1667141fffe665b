'use strict';

const { gunzipSync } = require('node:zlib');
const { Profile } = require('pprof-format');

// Capturing takes `seconds`; the rest is for a busy server and a slow machine.
const graceMs = 20_000;

async function fetchProfile(url, { seconds = 0 } = {}) {
  const response = await fetch(url, { signal: AbortSignal.timeout(seconds * 1000 + graceMs) });
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${(await response.text()).trim()}`);
  return Buffer.from(await response.arrayBuffer());
}

// Go's flat and cum: flat is what a function did itself, cum is that and everything it called.
function readProfile(bytes, valueType) {
  const profile = Profile.decode(gunzipSync(bytes));
  const { strings } = profile.stringTable;
  const types = profile.sampleType.map(({ type }) => strings[Number(type)]);
  const valueIndex = types.indexOf(valueType);
  if (valueIndex < 0) throw new Error(`no ${valueType} in a profile of ${types.join(', ')}`);

  const locations = new Map(profile.location.map((location) => [location.id, location]));
  const rows = new Map();
  for (const { id, name, filename, startLine } of profile.function) {
    const file = strings[Number(filename)];
    rows.set(id, { name: strings[Number(name)], file, line: Number(startLine), flat: 0, cum: 0 });
  }

  let total = 0;
  for (const { locationId, value } of profile.sample) {
    const amount = Number(value[valueIndex]);
    total += amount;
    // Leaf first. A set, since a recursive function is on the stack more than once but counts once.
    const stack = locationId.flatMap((id) => locations.get(id).line.map((line) => rows.get(line.functionId)));
    if (stack.length > 0) stack[0].flat += amount;
    for (const row of new Set(stack)) row.cum += amount;
  }
  return { total, functions: [...rows.values()] };
}

module.exports = { fetchProfile, readProfile };
