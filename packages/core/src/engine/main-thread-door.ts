/**
 * The one way into a main thread whose event loop does not turn: the inspector interrupts running JavaScript at the next loop
 * or call. A session is opened for one knock and closed at once, because one that is open when the process exits makes Node
 * wait for a debugger and say so.
 */
import type * as inspector from 'node:inspector';
import type { Session } from 'node:inspector';
import { isMainThread } from 'node:worker_threads';
import { messageOf } from '../errors.js';

/** Those that are open now. */
const open = new Set<Session>();

/** What was posted is evaluated even when the session has been closed meanwhile, as soon as the main thread lets it in. */
const OPEN_FOR_MS = 30;

/** Why nobody can get in, if so. Ask it on the main thread; where there is a reason, a knock would abort the process. */
export function doorClosedBecause(): string | undefined {
  const { permission } = process as { permission?: { has(scope: string): boolean } };
  if (permission && !permission.has('inspector'))
    return 'the permission model closes the inspector (newer versions of Node have --allow-inspector)';
  return process.features.inspector ? undefined : 'this Node is built without the inspector';
}

/**
 * Evaluates `expression` in the main thread's main realm, at the next moment that lets it in. Resolves when that has happened
 * or was posted; with the reason when there is no way in. Never rejects. Call it from a worker of the main thread only.
 */
export async function knockOnMainThread(expression: string): Promise<string | undefined> {
  if (isMainThread) return 'this is the main thread itself';
  let session: Session | undefined;
  try {
    const opened = (session = connect());
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, OPEN_FOR_MS);
      // A debugger that pauses in it would wait in a session that is closed under it.
      opened.post('Runtime.evaluate', { expression, silent: true, disableBreaks: true }, () => {
        clearTimeout(timer);
        resolve();
      });
    });
    return undefined;
  } catch (error) {
    return messageOf(error);
  } finally {
    if (session) disconnect(session);
  }
}

/** Whether a debugger has stopped the main thread: then it is not hanging, somebody is looking at it. */
export async function isPausedByDebugger(): Promise<boolean> {
  if (isMainThread) return false;
  let session: Session | undefined;
  try {
    const opened = (session = connect());
    return await new Promise<boolean>((resolve) => {
      const timer = setTimeout(resolve, 300, false);
      opened.once('Debugger.paused', () => {
        clearTimeout(timer);
        resolve(true);
      });
      opened.post('Debugger.enable', () => setTimeout(resolve, 20, false));
    });
  } catch {
    return false;
  } finally {
    if (session) disconnect(session);
  }
}

/** Leaves no session open, at once: the process is about to exit. */
export function closeDoor(): void {
  for (const session of open) disconnect(session);
}

function connect(): Session {
  // Where there is none, requiring it throws.
  const { Session: Door } = require('node:inspector') as typeof inspector;
  const session = new Door();
  open.add(session);
  try {
    session.connectToMainThread();
  } catch (error) {
    open.delete(session);
    throw error;
  }
  return session;
}

function disconnect(session: Session): void {
  open.delete(session);
  try {
    session.disconnect();
  } catch {
    // The main thread is going away.
  }
}
