/** What is served as JSON: counters rather than stacks. */
export interface JsonDocument {
  /** Name of its route. */
  readonly name: string;
  /** One or two sentences for the index page. */
  readonly description: string;
  /** Whether it is read all the time, and a line in the log for each reading too much but for debugging. */
  readonly polled?: boolean;
  /** Whether the sidecar makes it from what it has; the others are read on the main thread. */
  readonly offThread?: boolean;
  /** Whether the sidecar keeps a recent one, to serve while the main thread lets nobody in. */
  readonly remembered?: boolean;
  /** The value to serve; throws the reason when there is none. */
  read(): object | Promise<object>;
}
