/** What is served as JSON: counters rather than stacks. */
export interface JsonDocument {
  /** Name of its route. */
  readonly name: string;
  /** One or two sentences for the index page. */
  readonly description: string;
  /** The value to serve; throws the reason when there is none. */
  read(): object;
}
