import { runtimeReport } from '../monitor/runtime.js';
import type { JsonDocument } from './document.js';
import type { ProfileSources } from './sources.js';

/** The counters that are served as JSON. */
export function counterDocuments(sources: ProfileSources): JsonDocument[] {
  return [
    {
      name: 'requests',
      polled: true,
      description:
        'Requests by method, route and status class: how many, how slow (percentiles and OpenTelemetry buckets, in ms), how many ' +
        'were aborted, how long the event loop was blocked under them, those in flight; and per route its CPU, the blocking and ' +
        'the garbage collection it caused. As JSON.',
      read: () => sources.settledMonitor().requestsReport(),
    },
    {
      name: 'gc',
      polled: true,
      description: 'Every garbage collection by kind: how many, how long. As JSON.',
      read: () => sources.monitor().gcReport(),
    },
    {
      name: 'runtime',
      polled: true,
      description:
        'The process in numbers: memory, event-loop utilisation and delay, what blocked the loop last, and what the profiler itself ' +
        'costs. As JSON.',
      remembered: true,
      read: () => ({ ...runtimeReport(sources.settledMonitor()), profiler: sources.overhead() }),
    },
  ];
}
