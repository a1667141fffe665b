import { createHash } from 'node:crypto';
import type { Profile } from '../profiles/profile.js';

export interface IndexEntry {
  readonly profile: Profile;
  /** Why it would not answer, if so. */
  readonly closedBecause: string | undefined;
}

/** What is served beside the profiles. */
export interface DocumentEntry {
  readonly name: string;
  readonly description: string;
  readonly closedBecause?: string | undefined;
}

export interface IndexState {
  readonly entries: readonly IndexEntry[];
  readonly documents: readonly DocumentEntry[];
  /** Facts about the process and the profiler, name and value. */
  readonly facts: readonly (readonly [string, string])[];
  /** What does not work, one line each. */
  readonly problems: readonly string[];
  /** Where this page is, for the commands it shows. */
  readonly baseUrl: string;
}

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1d2330; background: #fff; }
h1 { font-size: 1.3rem; margin: 0 0 .2rem; } h2 { font-size: 1rem; margin: 1.8rem 0 .5rem; }
p { margin: .3rem 0; } .facts { color: #5b6475; } .problem { color: #9a1c1c; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; vertical-align: top; padding: .45rem .8rem .45rem 0; border-top: 1px solid #e3e6ec; }
td:first-child { white-space: nowrap; } code { font: 13px/1.5 ui-monospace, monospace; background: #f3f5f8; padding: .1rem .3rem; border-radius: 3px; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { body { color: #d7dbe4; background: #14171d; } .facts { color: #99a2b3; } .problem { color: #ff9c9c; } td, th { border-color: #2b303a; } code { background: #1e232c; } a { color: #8ab4ff; } }
`;

/** The one style sheet is named by its hash, so the page needs no exception for inline styles. */
export const INDEX_CSP = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** The index page: what there is, how to get it, and what does not work. Links are relative, so it works below any mount. */
export function indexPage({ entries, documents, facts, problems, baseUrl }: IndexState): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>/debug/pprof/</title>
<style>${STYLE}</style></head>
<body>
<h1>/debug/pprof/</h1>
<p class="facts">${facts.map(([name, value]) => `${escape(name)} ${escape(value)}`).join(' · ')}</p>
${problems.map((problem) => `<p class="problem">Degraded: ${escape(problem)}</p>`).join('\n')}
<h2>Types of profiles available</h2>
<table>
<tr><th>Profile</th><th>What it is</th></tr>
${entries.map(row).join('\n')}
${documents.map(documentRow).join('\n')}
</table>
<h2>With Go's tool</h2>
${entries
  .filter(({ profile, closedBecause }) => closedBecause === undefined && profile.file === undefined)
  .map(
    ({ profile }) =>
      `<p><code>go tool pprof -http=: ${escape(shellQuoted(exampleUrl(baseUrl, profile)))}</code></p>`,
  )
  .join('\n')}
<h2>To files, on the machine itself</h2>
<p><code>curl -X POST ${escape(shellQuoted(`${baseUrl}snapshot`))}</code></p>
</body>
</html>
`;
}

function row({ profile, closedBecause }: IndexEntry): string {
  const link =
    closedBecause === undefined
      ? `<a href="${escape(profile.name + profile.exampleQuery)}">${escape(profile.name)}</a>`
      : escape(profile.name);
  const aliases = profile.aliases.length > 0 ? ` (${profile.aliases.map(escape).join(', ')})` : '';
  return `<tr><td>${link}${aliases}</td><td>${escape(profile.description)}${closedNote(closedBecause)}</td></tr>`;
}

function documentRow({ name, description, closedBecause }: DocumentEntry): string {
  const shown = closedBecause === undefined ? `<a href="${escape(name)}">${escape(name)}</a>` : escape(name);
  return `<tr><td>${shown}</td><td>${escape(description)}${closedNote(closedBecause)}</td></tr>`;
}

function closedNote(closedBecause: string | undefined): string {
  return closedBecause === undefined ? '' : ` <span class="problem">${escape(closedBecause)}</span>`;
}

/** pprof reads the binary form; the page's own link may ask for text. */
function exampleUrl(baseUrl: string, profile: Profile): string {
  return baseUrl + profile.name + (profile.exampleQuery.includes('debug=') ? '' : profile.exampleQuery);
}

function shellQuoted(text: string): string {
  return /^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
