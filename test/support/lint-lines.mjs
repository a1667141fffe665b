// Lints lines as if they stood in files of this repository: [{ file, line }] on stdin, the same with `errors` on stdout, and the
// rows of the import law. A process of its own, because Jest cannot import the configuration, which is an ES module.
import { text } from 'node:stream/consumers';
import path from 'node:path';
import process from 'node:process';
import { ESLint } from 'eslint';
import tseslint from 'typescript-eslint';
import { importLaw } from '../../eslint.config.mjs';

const cwd = path.resolve(import.meta.dirname, '../..');
// The files need not exist, so there are no types to look at.
const eslint = new ESLint({ cwd, overrideConfig: [tseslint.configs.disableTypeChecked] });
const law = new Set(['no-restricted-imports', 'no-restricted-syntax']);

const lines = [];
for (const { file, line } of JSON.parse(await text(process.stdin))) {
  const [{ messages }] = await eslint.lintText(line, { filePath: path.join(cwd, file) });
  const broken = messages.filter(({ fatal }) => fatal);
  if (broken.length > 0) throw new Error(`${file}: ${line}: ${broken[0].message}`);
  lines.push({
    file,
    line,
    errors: messages.filter(({ ruleId }) => law.has(ruleId)).map(({ message }) => message),
  });
}
process.stdout.write(JSON.stringify({ rows: Object.keys(importLaw), lines }));
