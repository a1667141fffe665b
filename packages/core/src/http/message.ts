/**
 * Requests and responses as plain data, so that the handler knows no server and can be asked from another thread.
 */
import type { AccessRequest } from '../config.js';

export interface PprofRequest extends AccessRequest {
  /** Path below the mount, decoded by nobody; empty when the mount itself was asked for without a slash at its end. */
  readonly path: string;
  readonly httpVersion: string;
  /** Reads what was posted; rejects with LOOPPROF_INVALID_PARAMETER when that is too much. */
  readonly readBody?: (() => Promise<string>) | undefined;
  /** Aborts when the client is gone. */
  readonly signal?: AbortSignal | undefined;
}

export interface PprofResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | string;
}

/** Answers a request; never rejects. */
export type PprofHandler = (request: PprofRequest) => Promise<PprofResponse>;

/**
 * On every answer: nothing of a process's inside belongs in a cache, in another site's page or in a frame, and no browser may guess
 * what it is. Pages that need styles or scripts name them in a policy of their own.
 */
export const COMMON_HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
};
