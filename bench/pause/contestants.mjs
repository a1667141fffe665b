// Each contestant: how it is loaded and started, and how one takes a capture of it. `time(name, call)` notes what a call costs.
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

const require = createRequire(import.meta.url);

const INTERVAL_MICROS = 10_000;

const onlyTrouble = { debug() {}, info() {}, warn: console.warn, error: console.error };

export const contestants = {
  nothing: {
    title: 'nothing',
    start: () => {},
    capture: ({ millis }) => sleep(millis),
  },

  loopprof: {
    title: 'loopprof',
    alwaysOn: true,
    async start({ time }) {
      const { Profiler } = require('@loopprof/core');
      const { Recorder } = require('../../packages/core/dist/recorder/recorder.js');
      const { harvest } = Recorder.prototype;
      Recorder.prototype.harvest = function () {
        time('harvest', () => harvest.call(this));
      };
      this.profiler = new Profiler({ httpAddr: 'localhost:0' }, onlyTrouble);
      // Everything that blocks in start() is before its first await.
      await time('start()', () => this.profiler.start());
    },
    /** Over HTTP and from another process: what the client does is no part of the figure. */
    capture({ millis, fetchElsewhere }) {
      return fetchElsewhere(`${this.profiler.address}profile?seconds=${millis / 1000}`);
    },
  },

  datadogOnDemand: {
    title: '@datadog/pprof, time.profile()',
    start({ time }) {
      this.pprof = require('@datadog/pprof');
      time('time.start()', () => this.pprof.time.start({ intervalMicros: INTERVAL_MICROS }));
    },
    /** time.profile(), written out so that its halves can be timed. */
    async capture({ millis, time }) {
      this.start({ time });
      await sleep(millis);
      const profile = time('time.stop()', () => this.pprof.time.stop());
      return this.pprof.encode(profile);
    },
  },

  datadogAlwaysOn: {
    title: '@datadog/pprof, kept running',
    alwaysOn: true,
    /** With what loopprof collects too: timed samples and thread CPU. */
    start({ time }) {
      this.pprof = require('@datadog/pprof');
      const options = { intervalMicros: INTERVAL_MICROS, withContexts: true, collectCpuTime: true };
      time('time.start()', () => this.pprof.time.start(options));
    },
    async capture({ millis, time }) {
      // Drops what was sampled before the capture; a second stop ends it.
      time('time.stop(true)', () => this.pprof.time.stop(true));
      await sleep(millis);
      const profile = time('time.stop(true)', () => this.pprof.time.stop(true));
      return this.pprof.encode(profile);
    },
  },

  inspector: {
    title: 'inspector, Profiler domain',
    start({ time }) {
      const { Session } = require('node:inspector');
      this.session = new Session();
      this.session.connect();
      post(this.session, 'Profiler.enable');
      post(this.session, 'Profiler.setSamplingInterval', { interval: INTERVAL_MICROS });
      time('Profiler.start', () => post(this.session, 'Profiler.start'));
    },
    async capture({ millis, time }) {
      this.start({ time });
      await sleep(millis);
      const { profile } = time('Profiler.stop', () => post(this.session, 'Profiler.stop'));
      return Buffer.from(JSON.stringify(profile));
    },
  },
};

/** A session in its own process answers before post() returns. */
function post(session, method, params) {
  let answer;
  session.post(method, params, (error, result) => {
    if (error) throw new Error(`${method}: ${error.message}`);
    answer = result;
  });
  return answer;
}
