'use strict';

const { readFile } = require('node:fs/promises');
const path = require('node:path');

const catalogue = readFile(path.join(__dirname, '..', 'data', 'products.json'), 'utf8').then(JSON.parse);

// Nothing ever leaves this cache. It is the leak that the heap profile of this example shows.
const sessions = new Map();

async function getSession(id) {
  if (!sessions.has(id)) sessions.set(id, createSession(id));
  const session = await sessions.get(id);
  session.lastSeenAt = Date.now();
  return session;
}

async function createSession(id) {
  const recommendations = [];
  for (const product of await catalogue) {
    recommendations.push({
      name: product.name,
      priceCents: product.priceCents,
      score: Math.random(),
      link: `/products/${product.sku}?ref=${id}`,
    });
  }
  return { id, lastSeenAt: 0, cart: [], recommendations };
}

module.exports = { getSession };
