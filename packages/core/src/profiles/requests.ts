import type { JsonDocument } from './document.js';
import type { ProfileSources } from './sources.js';

/** Latencies and outcomes of the app's requests by method, route and status class. */
export function requestsDocument(sources: ProfileSources): JsonDocument {
  return {
    name: 'requests',
    description:
      'Requests by method, route and status class: how many, how slow (percentiles and OpenTelemetry buckets, in ms), how many ' +
      'were aborted, and those in flight with their age. As JSON.',
    read: () => sources.requests().report(),
  };
}
