import type { Monitor } from '../monitor/monitor.js';
import type { HeapRecorder } from '../recorder/heap-recorder.js';
import type { Recorder } from '../recorder/recorder.js';
import type { Symbolizer } from '../symbols/symbolizer.js';

/** What profiles are made from. A recorder that is not running throws the reason when it is asked for. */
export interface ProfileSources {
  recorder(): Recorder;
  heapRecorder(): HeapRecorder;
  monitor(): Monitor;
  /** The same, after what was sampled up to now has told which routes ran. */
  settledMonitor(): Monitor;
  readonly symbolizer: Symbolizer;
  /** Stands for the program in pprof's header. */
  readonly mappingFile: string;
}
