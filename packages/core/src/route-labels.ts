import type { LabelSet } from './engine/engine.js';
import type { LabelledRoute } from './monitor/request-timing.js';
import type { RequestLabels } from './monitor/requests.js';
import { OTHER_METHOD, OTHER_ROUTE, type RouteSeries } from './monitor/series.js';
import type { RecorderSession } from './recorder/session.js';
import type { Sidecar } from './sidecar/sidecar.js';

/** Who wants to know what the thread works for. */
interface LabelReaders {
  readonly session: RecorderSession;
  readonly sidecar: Sidecar | undefined;
}

/** RouteLabels keeps one label set per method and route, so that nothing is made per request. */
export class RouteLabels implements RequestLabels {
  readonly #readers: LabelReaders;
  readonly #maxRoutes: number;
  readonly #routes = new Map<string, Map<string, LabelledRoute>>();
  #size = 0;
  /** The one that was asked for last. */
  #last: LabelledRoute | undefined;

  constructor(readers: LabelReaders, maxRoutes: number) {
    this.#readers = readers;
    this.#maxRoutes = maxRoutes;
  }

  get always(): boolean {
    return this.#readers.session.alwaysLabelled;
  }

  of(method: string, route: string): LabelledRoute {
    const last = this.#last;
    if (last && last.route === route && last.method === method) return last;
    return (this.#last = this.#routes.get(method)?.get(route) ?? this.#add(method, route));
  }

  #add(method: string, route: string): LabelledRoute {
    if (this.#size >= this.#maxRoutes && route !== OTHER_ROUTE) return this.of(OTHER_METHOD, OTHER_ROUTE);
    let routes = this.#routes.get(method);
    if (!routes) this.#routes.set(method, (routes = new Map<string, LabelledRoute>()));
    this.#size += 1;
    const added = new SetOfLabels(this.#readers, { id: this.#size, method, route });
    routes.set(route, added);
    this.#readers.sidecar?.addLabels({ id: this.#size, method, route });
    return added;
  }
}

class SetOfLabels implements LabelledRoute {
  readonly method: string;
  readonly route: string;
  series: RouteSeries | undefined;
  readonly #id: number;
  readonly #labels: LabelSet;
  readonly #readers: LabelReaders;

  constructor(readers: LabelReaders, { id, method, route }: { id: number; method: string; route: string }) {
    this.method = method;
    this.route = route;
    this.#id = id;
    this.#labels = { method, route };
    this.#readers = readers;
  }

  enter(isBeginning: boolean): boolean {
    const { session, sidecar } = this.#readers;
    sidecar?.pulse.work(this.#id);
    return session.enter(this.#labels, isBeginning);
  }
}
