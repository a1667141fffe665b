/**
 * The realm that Node started the thread in. Jest and others run modules in a `vm` context of their own, with another
 * `globalThis` and a copied `process`, while V8's profilers belong to the thread: what exists once per thread is kept here.
 */
import { runInThisContext } from 'node:vm';

export const mainGlobal = runInThisContext('globalThis') as typeof globalThis & Record<symbol, unknown>;

/** The real `process`: exit handlers registered on Jest's copy never run. */
export const mainProcess: NodeJS.Process = mainGlobal.process;

/** Whether this module was loaded into a `vm` context rather than the thread's main realm. */
export const inForeignRealm = (mainGlobal as unknown) !== (globalThis as unknown);

/** Node's own `require` for a file, past whatever module system the current realm has put in its place. */
export function mainRealmRequire(filename: string): NodeJS.Require {
  return mainProcess.getBuiltinModule('node:module').createRequire(filename);
}
