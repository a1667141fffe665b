'use strict';

const path = require('node:path');
const Table = require('cli-table3');

const rowCount = 10;
// With these two no row is longer than the 80 columns of a terminal.
const maxNameLength = 26;
const maxPlaceLength = 28;
const noBorders = Object.fromEntries(Object.keys(new Table().options.chars).map((name) => [name, '']));
const serviceFolder = path.join(__dirname, '..', 'src') + path.sep;

function cpuTable({ total, functions }) {
  const table = makeTable(['flat ms', 'flat %', 'cum %', 'function', 'where']);
  for (const row of hottest(functions)) {
    const flatMs = (row.flat / 1e6).toFixed(0);
    table.push([flatMs, percent(row.flat, total), percent(row.cum, total), shortName(row), shortPlace(row)]);
  }
  return table.toString();
}

function ownCodeTable({ total, functions }) {
  const table = makeTable(['cum ms', 'cum %', 'flat %', 'function', 'where']);
  const own = functions.filter(({ file }) => file.startsWith(serviceFolder));
  for (const row of own.sort((a, b) => b.cum - a.cum).slice(0, rowCount)) {
    const cumMs = (row.cum / 1e6).toFixed(0);
    table.push([cumMs, percent(row.cum, total), percent(row.flat, total), shortName(row), shortPlace(row)]);
  }
  return table.toString();
}

function heapTable({ total, functions }) {
  const table = makeTable(['in use MB', '%', 'function', 'where']);
  for (const row of hottest(functions)) {
    const inUseMb = (row.flat / 1e6).toFixed(1);
    table.push([inUseMb, percent(row.flat, total), shortName(row), shortPlace(row)]);
  }
  return table.toString();
}

function hottest(functions) {
  const sorted = functions.filter(({ flat }) => flat > 0).sort((a, b) => b.flat - a.flat);
  return sorted.slice(0, rowCount);
}

function makeTable(head) {
  const isNumber = (title) => /ms|%|MB/.test(title);
  return new Table({
    head,
    colAligns: head.map((title) => (isNumber(title) ? 'right' : 'left')),
    chars: { ...noBorders, middle: '  ' },
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 0 },
  });
}

function percent(part, whole) {
  return ((100 * part) / whole).toFixed(1);
}

function shortName({ name }) {
  return name.length > maxNameLength ? `${name.slice(0, maxNameLength - 1)}…` : name;
}

// The end of a path says where to look; the folders that it starts with are the same for every row.
function shortPlace({ file, line }) {
  if (file === '') return '';
  const inPackage = file.split(/[\\/]node_modules[\\/]/).at(-1);
  const shown = path.isAbsolute(inPackage) ? path.relative(path.join(__dirname, '..'), inPackage) : inPackage;
  const place = line > 0 ? `${shown}:${line}` : shown;
  return place.length > maxPlaceLength ? `…${place.slice(1 - maxPlaceLength)}` : place;
}

module.exports = { cpuTable, ownCodeTable, heapTable };
