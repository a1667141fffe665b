/**
 * `@loopprof/core`: always-on CPU and heap profiles of this process, served as Go's `net/http/pprof` serves them. Knows no
 * framework; importing it starts nothing.
 */
export { Profiler } from './profiler.js';
export { getProfiler } from './get-profiler.js';
export { defaultProfilerConfig } from './config.js';
export type { Access, AccessRequest, EngineName, ProfilerConfig } from './config.js';
export { isLoopprofError, LoopprofError } from './errors.js';
export type { LoopprofErrorCode } from './errors.js';
export type { Logger } from './logger.js';
export { answerPprof, pathBelow, pathOf, servePprof } from './http/node-server.js';
export { checkMountPath, mountHandler } from './mount.js';
export type { MountOptions } from './mount.js';
export type { PprofHandler, PprofRequest, PprofResponse } from './http/message.js';
