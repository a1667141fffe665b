import { mainProcess } from './realm.js';

/** Stands for the program in pprof's header. */
export const MAPPING_FILE = mainProcess.argv[1] ?? mainProcess.execPath;
