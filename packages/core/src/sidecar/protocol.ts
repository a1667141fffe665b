/** What the main thread and the sidecar say to each other; all of it survives the structured clone. */
import type { LabelSet } from '../engine/engine.js';
import type { CaptureRequest, Profile } from '../profiles/profile.js';
import type { JsonDocument } from '../profiles/document.js';
import type { TextDocument } from '../profiles/text-document.js';
import type { AccessRequest, ResolvedConfig } from '../config.js';
import type { LoopprofErrorCode } from '../errors.js';
import type { StallsReading } from '../profiles/sources.js';
import type { AllocationReading, HeapReading } from '../recorder/heap-recorder.js';
import type { Stall, StallStack } from '../recorder/stalls.js';
import type { ProcessFacts } from '../snapshots/manifest.js';
import type { Vitals } from '../snapshots/readings.js';
import type { Snapshot } from '../snapshots/snapshot.js';
import type { Look } from '../snapshots/triggers.js';
import type { RegisteredMap } from '../symbols/registered-maps.js';
import type { SentStacks } from './transfer.js';

/** What a worker is started with. */
export interface SidecarData {
  readonly pulseMemory: SharedArrayBuffer;
  readonly budgetMemory: SharedArrayBuffer;
  readonly sampleIntervalMicros: number;
  readonly windowMs: number;
  readonly mappingFile: string;
  /** Why a main thread whose event loop does not turn cannot be entered, if so. */
  readonly doorClosedBecause: string | undefined;
  /** The folder that paths are made relative to. */
  readonly trimTo: string | undefined;
}

/** On the main realm's global object: takes what the sidecar has asked, here and now. */
export const DRAIN = 'loopprof.sidecar.v1';

/** A profile without what makes it. */
export type ProfileFacts = Omit<Profile, 'capture'>;

/** A document without what makes it. */
export type DocumentFacts = Omit<JsonDocument, 'read'>;

/** A text that stays as it is. */
export type SentText = Omit<TextDocument, 'read'> & { readonly text: string };

/** The configuration without its functions, which only the main thread can call. */
export type SentConfig = Omit<ResolvedConfig, 'access' | 'given'> & {
  readonly access: Exclude<ResolvedConfig['access'], { authorize: unknown }> | 'authorize';
};

/** One profiler, as the sidecar knows it. */
export interface SentContext {
  readonly contextId: number;
  readonly config: SentConfig;
  readonly profiles: readonly ProfileFacts[];
  readonly documents: readonly DocumentFacts[];
  readonly texts: readonly SentText[];
  readonly process: Pick<ProcessFacts, 'pid' | 'engine' | 'loopprof'>;
  /** When the profiler was started, in microseconds since the epoch. */
  readonly startedMicros: number;
}

/** What the sidecar reads of the main thread, with what it asks. */
export interface Readings {
  /** Answered when the samples up to now have been sent. */
  harvest: { args: undefined; value: void };
  heap: { args: { gc: boolean }; value: SentHeap };
  document: { args: { contextId: number; name: string }; value: object };
  facts: { args: { contextId: number }; value: SentFacts };
  stack: { args: undefined; value: SentStacks };
  stalls: { args: undefined; value: SentStalls };
  blocks: { args: undefined; value: SentContentions };
  vitals: { args: { contextId: number }; value: Vitals };
}

export interface Reading<T = unknown> {
  /** By the clock that all threads share. */
  readonly readAtMs: number;
  readonly value: T;
}

/** What the sidecar asks the main thread. */
export type MainQuestions = {
  [Name in keyof Readings]: { args: Readings[Name]['args']; answer: Reading<Readings[Name]['value']> };
} & {
  /** Somebody reads samples, and would like labels on them; and does no more. */
  retainLabels: { args: undefined; answer: void };
  releaseLabels: { args: undefined; answer: void };
  /** Answered after that time. */
  allocations: { args: { durationMs: number }; answer: SentAllocations };
  capture: { args: SentCapture; answer: SentCaptured };
  /** Takes a snapshot for a request that the sidecar has let in. */
  snapshot: { args: { contextId: number }; answer: object };
  /** The maps that loaders have registered there for these scripts, or the first of them. */
  sourceMaps: { args: { files: readonly string[] }; answer: readonly (RegisteredMap | undefined)[] };
  authorize: { args: { contextId: number; request: AccessRequest }; answer: boolean };
  log: { args: SentLog; answer: void };
  /** The sidecar has looked at the rules while the event loop was blocked. */
  looked: { args: SentLook; answer: void };
  /** It has taken a snapshot, because rules had fired then. */
  tookSnapshot: { args: SentSnapshot; answer: void };
};

export interface SentCapture {
  readonly contextId: number;
  readonly name: string;
  readonly request: Omit<CaptureRequest, 'signal'>;
}

export interface SentCaptured {
  readonly body: Uint8Array | string;
  readonly notes: readonly string[];
}

export interface SentHeap extends Omit<HeapReading, 'stacks'> {
  readonly stacks: SentStacks;
  readonly objects: readonly number[];
  readonly sizesBytes: readonly number[];
  readonly allocObjects: readonly number[];
  readonly allocBytes: readonly number[];
}

export interface SentAllocations extends Omit<AllocationReading, 'stacks'> {
  readonly stacks: SentStacks;
  readonly objects: readonly number[];
  readonly sizesBytes: readonly number[];
}

/** The number that the pulse shows while the main thread works for that route. */
export interface SentLabels {
  readonly id: number;
  readonly method: string;
  readonly route: string;
}

export interface SentStalls extends Omit<StallsReading, 'stalls'> {
  readonly stalls: readonly SentStall[];
  /** Of all stalls, in their order. */
  readonly stacks: SentStacks;
}

export interface SentStall extends Omit<Stall, 'stacks'> {
  readonly stacks: readonly Omit<StallStack, 'frames' | 'labels'>[];
}

/** Rows of a table of waits, in columns. */
export interface SentContentions {
  readonly overflowed: number;
  readonly stacks: SentStacks;
  readonly labels: readonly (LabelSet | undefined)[];
  readonly counts: readonly number[];
  readonly delaysNanos: readonly number[];
}

export interface SentFacts {
  readonly facts: readonly (readonly [string, string])[];
  readonly problems: readonly string[];
}

/** Both threads tell each other, so that the rules have one budget. */
export interface SentLook {
  readonly contextId: number;
  readonly look: Look;
}

export interface SentSnapshot {
  readonly contextId: number;
  readonly durationMs: number;
  readonly outcome:
    Snapshot | { readonly error: { readonly code: LoopprofErrorCode; readonly message: string } };
}

export interface SentLog {
  readonly contextId: number;
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly details: object;
  readonly message: string;
}
