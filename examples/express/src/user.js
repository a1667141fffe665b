'use strict';

const bcrypt = require('bcryptjs');
const users = require('../data/users.json');

const passwordHashes = new Map(users.map(({ name, passwordHash }) => [name, passwordHash]));

// compareSync blocks the event loop for as long as it runs. It stays here because that is what this example
// is for: in a service, await bcrypt.compare() or hash in a worker.
function verifyPassword(name, password) {
  const passwordHash = passwordHashes.get(name);
  return passwordHash !== undefined && bcrypt.compareSync(password, passwordHash);
}

module.exports = { verifyPassword };
