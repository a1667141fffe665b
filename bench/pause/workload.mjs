// A busy event loop with short turns: the TypeScript compiler as an editor uses it, a millisecond and a half at a time.
//
// Not whole compilations: each leaves a graph of a hundred thousand objects behind, and collecting those stops the loop for
// 8-30 ms some fifteen times a second, with or without a profiler; a pause of 5 ms could not be told from them. One program
// that stays, and small questions about it, run the same scanner, parser, binder, checker and printers at 0.5-2 ms a collection.
import { createRequire } from 'node:module';
import { files, lib } from './program.mjs';

const SLICE_MS = 1.5;
const STEP = 13;

const compilerOptions = {
  noLib: true,
  strict: true,
  types: [],
  target: 9 /* ES2022 */,
  module: 99 /* ESNext */,
};

/** Loads the compiler and gives a function that does the next slice of its work and says how many pieces that was. */
export function createWorkload() {
  const ts = createRequire(import.meta.url)('typescript');
  const texts = new Map([
    ['/lib.d.ts', lib],
    ...Object.entries(files).map(([name, text]) => [`/${name}`, text]),
  ]);
  const service = serviceOver(ts, texts);
  const pieces = [...texts.keys()]
    .filter((name) => name !== '/lib.d.ts')
    .flatMap((name) => questions(ts, { service, name, text: texts.get(name) }));
  let next = 0;
  return () => {
    const end = performance.now() + SLICE_MS;
    let done = 0;
    do {
      // A step that is prime to the number of pieces: files and kinds of question take turns.
      pieces[(next += STEP) % pieces.length]();
      done += 1;
    } while (performance.now() < end);
    return done;
  };
}

function serviceOver(ts, texts) {
  const snapshots = new Map([...texts].map(([name, text]) => [name, ts.ScriptSnapshot.fromString(text)]));
  return ts.createLanguageService({
    getCompilationSettings: () => compilerOptions,
    getScriptFileNames: () => [...texts.keys()],
    getScriptVersion: () => '1',
    getScriptSnapshot: (name) => snapshots.get(name),
    getCurrentDirectory: () => '/',
    getDefaultLibFileName: () => '/lib.d.ts',
    fileExists: (name) => texts.has(name),
    readFile: (name) => texts.get(name),
    directoryExists: () => true,
    getDirectories: () => [],
    useCaseSensitiveFileNames: () => true,
  });
}

function questions(ts, { service, name, text }) {
  const everything = { start: 0, length: text.length };
  const format = ts.getDefaultFormatCodeSettings('\n');
  const hints = {
    includeInlayParameterNameHints: 'all',
    includeInlayVariableTypeHints: true,
    includeInlayFunctionLikeReturnTypeHints: true,
  };
  const names = identifiers(ts, ts.createSourceFile(name, text, compilerOptions.target, true));
  let next = 0;
  const somewhere = () => names[next++ % names.length];
  return [
    () => ts.createSourceFile(name, text, compilerOptions.target, true),
    () => service.getFormattingEditsForDocument(name, format),
    () => service.getNavigationTree(name),
    () => service.getEncodedSemanticClassifications(name, everything, '2020'),
    () => service.getQuickInfoAtPosition(name, somewhere()),
    () => service.findReferences(name, somewhere()),
    () => service.getCompletionsAtPosition(name, somewhere(), {}),
    () => service.getSignatureHelpItems(name, somewhere(), {}),
    () => service.provideInlayHints(name, everything, hints),
    () => service.getSuggestionDiagnostics(name),
    () => service.getApplicableRefactors(name, somewhere(), {}),
  ];
}

function identifiers(ts, sourceFile) {
  const starts = [];
  const visit = (node) => {
    if (ts.isIdentifier(node)) starts.push(node.getStart(sourceFile));
    ts.forEachChild(node, visit);
  };
  visit(sourceFile);
  return starts;
}
