// What is measured: a name, the frameworks it is for, and how an app gets it. `install` runs before the framework is loaded and
// gives what `use` needs; `counted` tells how many requests it knows of, to show that it has done its work.
import { createRequire } from 'node:module';
import { requirePeer } from './peers.mjs';

const require = createRequire(import.meta.url);

const middlewareOf = {
  express: (app, profiler) => app.use(require('@loopprof/express').profilingMiddleware({ profiler })),
  koa: (app, profiler) => app.use(require('@loopprof/koa').profilingMiddleware({ profiler })),
  fastify: (app, profiler) => app.register(require('@loopprof/fastify').profilerPlugin, { profiler }),
};

// A line for each stall that the machine's noise looks like would be measured too.
const ignore = () => {};
const onlyErrors = { debug: ignore, info: ignore, warn: ignore, error: (_, text) => console.error(text) };

const loopprof = (title, config) => ({
  title,
  frameworks: ['express', 'koa', 'fastify'],
  async install() {
    const { Profiler } = require('@loopprof/core');
    const profiler = new Profiler({ enableHTTP: false, ...config }, onlyErrors);
    await profiler.start();
    return profiler;
  },
  use: (app, profiler, framework) => middlewareOf[framework](app, profiler),
  async counted(profiler) {
    const request = { method: 'GET', url: '/requests', path: '/requests', headers: {}, httpVersion: '1.1' };
    const { signal } = new AbortController();
    const { body } = await profiler.createHandler({ access: 'public' })({ ...request, signal });
    const { series } = JSON.parse(Buffer.from(body).toString());
    return series.reduce((sum, { route, count }) => sum + (route === '/users/:id' ? count : 0), 0);
  },
});

const countOf = (values) =>
  values
    .filter(({ metricName }) => metricName?.endsWith('_count'))
    .reduce((sum, { value }) => sum + value, 0);

export const contestants = {
  bare: { title: 'bare', frameworks: ['express', 'koa', 'fastify'] },
  again: { title: 'bare, again', frameworks: ['express'] },
  // What Express itself does for one more middleware is in everybody's figure.
  empty: {
    title: 'an empty middleware',
    frameworks: ['express'],
    use: (app) => app.use((_req, _res, next) => next()),
  },
  // The least that a request can be timed with: what a line of one's own costs.
  'by-hand': {
    title: 'timed by hand',
    frameworks: ['express'],
    use(app) {
      const counts = new Map();
      let sumMs = 0;
      app.use((_req, res, next) => {
        const startedAtMs = performance.now();
        res.on('finish', () => {
          sumMs += performance.now() - startedAtMs;
          counts.set(res.statusCode, (counts.get(res.statusCode) ?? 0) + 1);
        });
        next();
      });
      app.locals.countByHand = () =>
        sumMs > 0 ? [...counts.values()].reduce((sum, count) => sum + count, 0) : 0;
    },
    counted: (_, app) => app.locals.countByHand(),
  },
  started: { ...loopprof('loopprof, started only', {}), use() {}, counted: undefined },
  metrics: loopprof('loopprof, metrics only', { enableCPU: false, enableMemory: false, labels: false }),
  everything: loopprof('loopprof, everything on', {}),
  // What waits and pending operations are recorded for only while somebody asks, against not at all, and against all the time.
  'no-waits': loopprof('loopprof, without goroutine and mutex', {
    enableGoroutine: false,
    enableMutex: false,
  }),
  sampled: loopprof('loopprof, `asyncSampleRate: 64`', { asyncSampleRate: 64 }),
  labels: { ...loopprof('loopprof, labels: true', { labels: true }), before: 24 },

  'prom-bundle': {
    title: 'express-prom-bundle',
    frameworks: ['express'],
    peer: true,
    use(app) {
      const bundle = requirePeer('express-prom-bundle');
      app.use(bundle({ includeMethod: true, includePath: true, promClient: { collectDefaultMetrics: {} } }));
    },
    async counted() {
      const metric = requirePeer('prom-client').register.getSingleMetric('http_request_duration_seconds');
      return countOf((await metric.get()).values);
    },
  },

  'fastify-metrics': {
    title: 'fastify-metrics',
    frameworks: ['fastify'],
    peer: true,
    from: 24,
    use: (app) => app.register(requirePeer('fastify-metrics'), { endpoint: '/metrics' }),
    async counted(_, app) {
      const metric = app.metrics.client.register.getSingleMetric('http_request_duration_seconds');
      return countOf((await metric.get()).values);
    },
  },

  opentelemetry: {
    title: 'OpenTelemetry, instrumentation-http and -runtime-node',
    frameworks: ['express', 'koa', 'fastify'],
    peer: true,
    install() {
      const { AggregationTemporality, InMemoryMetricExporter, MeterProvider, PeriodicExportingMetricReader } =
        requirePeer('@opentelemetry/sdk-metrics');
      const { registerInstrumentations } = requirePeer('@opentelemetry/instrumentation');
      const { HttpInstrumentation } = requirePeer('@opentelemetry/instrumentation-http');
      const { RuntimeNodeInstrumentation } = requirePeer('@opentelemetry/instrumentation-runtime-node');
      const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
      const meterProvider = new MeterProvider({
        readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 60_000 })],
      });
      const instrumentations = [new HttpInstrumentation(), new RuntimeNodeInstrumentation()];
      registerInstrumentations({ meterProvider, instrumentations });
      return { exporter, meterProvider };
    },
    use() {},
    async counted({ exporter, meterProvider }) {
      await meterProvider.forceFlush();
      return exporter
        .getMetrics()
        .at(-1)
        .scopeMetrics.flatMap(({ metrics }) => metrics)
        .filter(({ descriptor }) => /^http\.server\.(request\.)?duration$/.test(descriptor.name))
        .flatMap(({ dataPoints }) => dataPoints)
        .reduce((sum, { value }) => sum + value.count, 0);
    },
  },
};
