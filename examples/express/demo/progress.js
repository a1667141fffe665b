'use strict';

const terminalIntervalMs = 250;
const plainIntervalMs = 3_000;

// Waits for `work` and says how it goes: one line that is rewritten on a terminal, and where there is none
// (a pipe, CI) a plain line every few seconds.
async function withProgress(describe, work) {
  const startedAt = Date.now();
  const isTerminal = process.stdout.isTTY;

  function show() {
    const text = describe(Math.floor((Date.now() - startedAt) / 1000));
    process.stdout.write(isTerminal ? `\r\x1b[2K${text}` : `${text}\n`);
  }

  show();
  const timer = setInterval(show, isTerminal ? terminalIntervalMs : plainIntervalMs);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    if (isTerminal) process.stdout.write('\r\x1b[2K');
  }
}

module.exports = { withProgress };
