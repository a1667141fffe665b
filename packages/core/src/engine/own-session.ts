import type * as inspectorModule from 'node:inspector';

export type Inspector = typeof inspectorModule;

/** An inspector session whose answers are there when `post` returns, as they are for a session with the own thread. */
export class OwnSession {
  readonly session: inspectorModule.Session;

  constructor({ Session }: Inspector) {
    this.session = new Session();
    this.session.connect();
  }

  /** Throws what the inspector answers in place of a result. */
  post<T>(method: string, params: object = {}): T {
    let failure: Error | null = null;
    let answer: unknown;
    this.session.post(method, params, (error: Error | null, result?: unknown) => {
      failure = error;
      answer = result;
    });
    if (failure) throw failure as Error;
    return answer as T;
  }

  close(): void {
    this.session.disconnect();
  }
}
