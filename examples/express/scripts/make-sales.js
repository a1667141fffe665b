'use strict';

// Writes data/sales.json: 20 000 orders of one year, the same bytes on every run.

const { writeFileSync } = require('node:fs');
const path = require('node:path');
const products = require('../data/products.json');

const rowCount = 20_000;
const regions = ['North', 'South', 'East', 'West', 'Central', 'Islands'];
const channels = ['web', 'shop', 'wholesale'];
const dayCount = 365;

// mulberry32, because Math.random cannot be seeded.
function makeRandom(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

const random = makeRandom(20250101);

// Squaring favours the front of the list, as real sales favour a few products and regions.
function pick(list) {
  return list[Math.floor(random() ** 2 * list.length)];
}

function makeRow(index) {
  const product = pick(products);
  const channel = pick(channels);
  const week = 1 + Math.floor(((index / rowCount) * dayCount) / 7);
  const units = channel === 'wholesale' ? 5 + Math.floor(random() * 40) : 1 + Math.floor(random() ** 3 * 5);
  return [week, pick(regions), channel, product.name, units, product.priceCents];
}

const columns = ['week', 'region', 'channel', 'product', 'units', 'unitPriceCents'];
const lines = Array.from({ length: rowCount }, (_, index) => JSON.stringify(makeRow(index)));
const file = path.join(__dirname, '..', 'data', 'sales.json');
writeFileSync(file, `{"columns":${JSON.stringify(columns)},"rows":[\n${lines.join(',\n')}\n]}\n`);
