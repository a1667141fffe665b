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

/** Within that time a loop that turns has shown it. */
const NOTICE_MS = 50;

export function stallsDocument(sources: ProfileSources): JsonDocument {
  return {
    name: 'stalls',
    polled: true,
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
      const frameLines = shown.stacks.map((frames) =>
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
  for (let attempt = 1; attempt < SETTLE_ATTEMPTS; attempt++) {
    // A loop that has just been let go has not noticed yet how long it was held.
    const waitMs = reading.pending ? SETTLE_MS : sources.blocked() ? NOTICE_MS : 0;
    if (waitMs === 0) break;
    await sleep(waitMs, undefined, { ref: false });
    if (!reading.pending && sources.blocked()) break;
    try {
      reading = await sources.stalls();
    } catch {
      // Stopped meanwhile: what is known by now is all there will be.
      break;
    }
  }
  return reading;
}
