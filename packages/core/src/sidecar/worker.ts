/** The sidecar: a thread that answers while the main thread does not. Started by {@link Sidecar}. */
import { workerData, type MessagePort } from 'node:worker_threads';
import { closeDoor } from '../engine/main-thread-door.js';
import { LoopprofError } from '../errors.js';
import { CaptureBudget } from '../http/capture-budget.js';
import { Line, type Answerer } from './line.js';
import { LoopWatch } from './loop-watch.js';
import type { SentCapture, SentContext, SentLabels, SentLook, SentStalls, SidecarData } from './protocol.js';
import { Pulse } from './pulse.js';
import { RemoteContext } from './remote-context.js';
import { RemoteSources } from './remote-sources.js';
import { giveUpWriting } from './stderr.js';
import type { SentChunk, SentNames } from './transfer.js';

/** How often it is seen to that what is kept for blocked times is recent. */
const REMEMBER_CHECK_MS = 250;

const { port, pulseMemory, budgetMemory, ...options } = workerData as SidecarData & { port: MessagePort };
const pulse = new Pulse(pulseMemory);
const budget = new CaptureBudget(budgetMemory);
const contexts = new Map<number, RemoteContext>();

function contextOf(contextId: number): RemoteContext {
  const context = contexts.get(contextId);
  if (!context) throw new LoopprofError('LOOPPROF_NOT_STARTED', 'This profiler is not running.');
  return context;
}

const atOnce: Record<string, Answerer> = {
  names: (sent: SentNames) => sources.learn(sent),
  chunk: (sent: { startedMicros: number; chunk: SentChunk }) => sources.addChunk(sent),
  labels: (sent: SentLabels) => sources.addLabels(sent),
  stalls: (sent: SentStalls) => sources.setStalls(sent),
  looked: ({ contextId, look }: SentLook) => contexts.get(contextId)?.standIn.follow(look),
  park: () => {
    closeDoor();
    giveUpWriting();
    // Rarely V8 loses the order to end a thread that waits, and the exit would wait for the thread for ever.
    if (!pulse.park()) process.exit();
  },
  attach: (sent: SentContext) =>
    void contexts.set(
      sent.contextId,
      new RemoteContext({ line, pulse, budget, main: sources.main, sources }, sent),
    ),
};

const inTurn: Record<string, Answerer> = {
  detach: async ({ contextId }: { contextId: number }) => {
    const context = contexts.get(contextId);
    contexts.delete(contextId);
    if (contexts.size === 0) giveUpWriting();
    await context?.close();
  },
  listen: ({ contextId, httpAddr }: { contextId: number; httpAddr: string }) =>
    contextOf(contextId).listen(httpAddr),
  capture: ({ contextId, name, request }: SentCapture, signal) =>
    contextOf(contextId).capture(name, { ...request, signal }),
};

const line: Line = new Line(port, { atOnce, inTurn });
const sources = new RemoteSources({ line, pulse }, options);
const watch = new LoopWatch({
  pulse,
  sources,
  configs: () => [...contexts.values()].map(({ config }) => config),
  onBlocked: (forMs) => {
    for (const { standIn } of contexts.values()) void standIn.look(forMs);
  },
});
watch.start();
pulse.up();
setInterval(() => {
  for (const context of contexts.values()) void context.remember();
}, REMEMBER_CHECK_MS);
