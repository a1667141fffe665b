import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { mainGlobal } from '../realm.js';

/** Runs a full garbage collection, without leaving a `gc` function on anybody's global object. */
export function collectGarbage(): void {
  if (mainGlobal.gc) {
    void mainGlobal.gc();
    return;
  }
  setFlagsFromString('--expose-gc');
  try {
    (runInNewContext('gc') as () => void)();
  } finally {
    setFlagsFromString('--no-expose-gc');
  }
}
