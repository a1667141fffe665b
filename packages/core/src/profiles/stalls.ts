/** The stalls as JSON, with the stacks that held the event loop. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { JsonDocument } from './document.js';
import { createPacer } from './pacer.js';
import type { BlockedState, ProfileSources, StallsReading } from './sources.js';

interface ShownStack {
  readonly durationMs: number;
  /** `function file:line:column`, leaf first. */
  readonly frames: readonly string[];
}

interface ShownStall {
  readonly startedAt: string;
  readonly durationMs: number;
  readonly cause: string;
  readonly method: string;
  readonly route: string;
  readonly waitingRequests: number;
  readonly gcMs: number;
  readonly cpuMs: number | null;
  readonly runDelayMs: number | null;
  readonly stacks: readonly ShownStack[];
}

interface StallsReport {
  readonly blocked: BlockedState | null;
  readonly stallThresholdMs: number;
  readonly count: number;
  readonly totalMs: number;
  readonly backlog: StallsReading['backlog'];
  /** The last ones, newest first. */
  readonly stalls: readonly ShownStall[];
}

/** Of each stall the hottest stacks are shown; the block profile has all. */
const MAX_STACKS = 5;

/** Collections are reported a little after they were. */
const SETTLE_MS = 100;
const SETTLE_ATTEMPTS = 10;

export function stallsDocument(sources: ProfileSources): JsonDocument {
  return {
    name: 'stalls',
    description:
      'Callbacks that held the event loop longer than stallThresholdMs, newest first: when, how long, why (javascript, gc, sync-io or host), ' +
      'under which route, how many requests waited, and the stacks that spent the time. As JSON.',
    offThread: true,
    read: async (): Promise<StallsReport> => {
      const { stalls, pending, ...rest } = await settled(sources);
      const stacks = stalls.map((stall) => stall.stacks.slice(0, MAX_STACKS));
      const shown = await sources.symbolizer.symbolize(
        stacks.flat().map(({ frames }) => frames),
        createPacer(),
      );
      const frameLines = shown.map((frames) =>
        frames.map(({ name, file, line, column }) => (file ? `${name} ${file}:${line}:${column}` : name)),
      );
      let at = 0;
      return {
        blocked: sources.blocked(),
        ...rest,
        stalls: stalls.map((stall, index) => ({
          startedAt: new Date(stall.startedMs).toISOString(),
          durationMs: stall.durationMs,
          cause: stall.cause,
          method: stall.method,
          route: stall.route,
          waitingRequests: stall.waitingRequests,
          gcMs: stall.gcMs,
          cpuMs: stall.cpuMs ?? null,
          runDelayMs: stall.runDelayMs ?? null,
          stacks: (stacks[index] ?? []).map(({ durationMs }) => ({
            durationMs,
            frames: frameLines[at++] ?? [],
          })),
        })),
      };
    },
  };
}

async function settled(sources: ProfileSources): Promise<StallsReading> {
  let reading = await sources.stalls();
  for (let attempt = 0; reading.pending && attempt < SETTLE_ATTEMPTS; attempt++) {
    await sleep(SETTLE_MS, undefined, { ref: false });
    reading = await sources.stalls();
  }
  return reading;
}
