// A busy event loop with short turns: the TypeScript compiler, a millisecond or two at a time.
import { createRequire } from 'node:module';
import { files, lib } from './program.mjs';

const options = { noLib: true, skipLibCheck: true, strict: true, types: [], target: 9 /* ES2022 */, module: 99 /* ESNext */ };

/** Loads the compiler and gives a function that does the next small piece of its work. */
export function createWorkload() {
  const ts = createRequire(import.meta.url)('typescript');
  const parse = (name, text) => ts.createSourceFile(name, text, options.target, true);
  const parsed = new Map(Object.entries({ ...files, 'lib.d.ts': lib }).map(([name, text]) => [name, parse(name, text)]));
  const program = (name, host) => ts.createProgram({ rootNames: ['lib.d.ts', name], options, host });
  const host = (fresh) => ({
    fileExists: (name) => parsed.has(name),
    readFile: (name) => (name === 'lib.d.ts' ? lib : files[name]),
    getSourceFile: (name) => (name === fresh ? parse(name, files[name]) : parsed.get(name)),
    getDefaultLibFileName: () => 'lib.d.ts',
    getCurrentDirectory: () => '/',
    getCanonicalFileName: (name) => name,
    useCaseSensitiveFileNames: () => true,
    getNewLine: () => '\n',
    writeFile: () => {},
  });
  let fresh;
  const pieces = Object.entries(files).flatMap(([name, text]) => [
    () => (fresh = program(name, host(name))).getGlobalDiagnostics().length,
    () => fresh.getSemanticDiagnostics(fresh.getSourceFile(name)).length,
    () => fresh.emit(undefined, undefined, undefined, false).emitSkipped,
    () => ts.transpileModule(text, { fileName: name, compilerOptions: { ...options, target: 2 /* ES2015 */ } }).outputText.length,
  ]);
  let next = 0;
  return () => void pieces[next++ % pieces.length]();
}
