/**
 * `@loopprof/core`: always-on CPU and heap profiles of this process, served as Go's `net/http/pprof` serves them. Knows no
 * framework; importing it starts nothing.
 */
export { Profiler } from './profiler.js';
export type { HandlerAccess } from './profiler.js';
export type { ProfilerEvents } from './profiler-events.js';
export { ProfileType, ProfilingManager } from './profiling-manager.js';
export { getProfiler } from './get-profiler.js';
export { defaultProfilerConfig } from './config.js';
export type { Access, AccessRequest, ProfilerConfig, Sensitive, SnapshotLimits } from './config.js';
export type { EngineName } from './engine/engine-name.js';
export type {
  ErrorsTrigger,
  HeapGrowthTrigger,
  HeapTrigger,
  HighLoadTrigger,
  IntervalTrigger,
  LatencyTrigger,
  OutOfMemoryTrigger,
  RequestTriggerScope,
  RssTrigger,
  SignalTrigger,
  StallTrigger,
  TriggerKind,
  TriggerLimits,
  TriggerRule,
} from './trigger-rules.js';
export type { TriggerValues } from './snapshots/conditions.js';
export type { Manifest } from './snapshots/manifest.js';
export type { Snapshot } from './snapshots/snapshot.js';
export type { Firing } from './snapshots/triggers.js';
export { isLoopprofError, LoopprofError } from './errors.js';
export type { LoopprofErrorCode, LoopprofErrorOptions } from './errors.js';
export type { Logger } from './logger.js';
export { pathBelow, pathOf } from './http/node-server.js';
export { answerPprof, servePprof } from './serve.js';
export { measureWait, withLabels } from './shared.js';
export { getRequestTiming, requestSlot, setRequestRoute } from './monitor/request-timing.js';
export type { RuntimeMetrics } from './monitor/runtime.js';
export type { ReachedRoute, RequestSlot, RequestTiming, RouteAtEnd } from './monitor/request-timing.js';
export { checkMountPath, createMount } from './mount.js';
export type { Mount, MountOptions } from './mount.js';
export type { PprofHandler, PprofRequest, PprofResponse } from './http/message.js';
