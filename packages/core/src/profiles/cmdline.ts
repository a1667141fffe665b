import { redactArguments } from './redact.js';
import type { TextDocument } from './text-document.js';

/** The command line of the process, joined by NUL as Go's. */
export function cmdlineDocument(): TextDocument {
  return {
    name: 'cmdline',
    description:
      'The command line of the process, arguments separated by NUL bytes. Values of arguments that look like secrets are left out.',
    sensitive: 'cmdline',
    read: () => redactArguments([process.argv0, ...process.execArgv, ...process.argv.slice(1)]).join('\0'),
  };
}
