import type { SensitiveField } from '../config.js';

/** What is served as text beside the profiles: facts and look-ups. */
export interface TextDocument {
  /** Name of its route. */
  readonly name: string;
  /** One or two sentences for the index page. */
  readonly description: string;
  /** Whether it is read all the time, and a line in the log for each reading too much but for debugging. */
  readonly polled?: boolean;
  /** The field of `sensitive` without which it is not served. */
  readonly sensitive?: SensitiveField;
  /** Whether its input may also be posted. */
  readonly post?: boolean;
  /** The text to serve; the input is the query as it was sent, or what was posted. */
  read(input: string): string;
}
