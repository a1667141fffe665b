/** Every way to the same profiles: mounted in an app of each framework, and the port that is ours alone. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import Router from '@koa/router';
import { pathBelow, pathOf, Profiler, servePprof, type Access, type ProfilerConfig } from '@loopprof/core';
import { pprofRouter as expressRouter, profilingMiddleware as expressMiddleware } from '@loopprof/express';
import { profilerPlugin } from '@loopprof/fastify';
import { pprofRouter as koaRouter, profilingMiddleware as koaMiddleware } from '@loopprof/koa';
import express from 'express';
import Fastify from 'fastify';
import Koa from 'koa';
import { listen } from './listen.js';

// The aliases have no types of their own; the calls made here are the same in both versions.
// eslint-disable-next-line @typescript-eslint/no-require-imports
const express4 = require('express4') as typeof express;
// eslint-disable-next-line @typescript-eslint/no-require-imports
const Koa2 = require('koa2') as typeof Koa;

type Listener = (req: IncomingMessage, res: ServerResponse) => unknown;

export interface Door {
  name: string;
  port: number;
  /** Path of the index page, without a slash at its end. */
  base: string;
}

export interface Doors {
  profiler: Profiler;
  doors: Door[];
  close(): Promise<void>;
}

export interface DoorOptions extends Partial<ProfilerConfig> {
  /** For the apps; without it they take the profiler's. */
  mounted?: Access;
}

/**
 * Opens them all. The apps believe every header that says who asks and what for, which must not matter to us.
 */
export async function openDoors({ mounted, ...config }: DoorOptions = {}): Promise<Doors> {
  const profiler = new Profiler({ httpAddr: 'localhost:0', ...config });
  await profiler.start();
  const options = { profiler, ...(mounted === undefined ? {} : { access: mounted }) };
  const closers: (() => Promise<unknown>)[] = [];
  const doors: Door[] = [];
  const open = async (name: string, base: string, listener: Listener): Promise<void> => {
    const server = await listen((req, res) => void listener(req, res));
    closers.push(() => server.close());
    doors.push({ name, base, port: server.port });
  };

  if (profiler.address !== undefined)
    doors.push({ name: 'standalone', base: '/debug/pprof', port: Number(new URL(profiler.address).port) });
  for (const [version, framework] of [
    ['Express 5', express],
    ['Express 4', express4],
  ] as const) {
    await open(`${version}, middleware`, '/debug/pprof', trusting(framework).use(expressMiddleware(options)));
    await open(
      `${version}, router`,
      '/internal/pprof',
      trusting(framework).use('/internal/pprof', expressRouter(options)),
    );
  }
  for (const [version, Framework] of [
    ['Koa 3', Koa],
    ['Koa 2', Koa2],
  ] as const) {
    const app = trustingKoa(Framework).use(koaMiddleware(options));
    await open(`${version}, middleware`, '/debug/pprof', app.callback());
    const router = new Router();
    router.use(koaRouter(options).routes() as never);
    await open(
      `${version}, router`,
      '/debug/pprof',
      trustingKoa(Framework)
        .use(router.routes() as never)
        .callback(),
    );
  }
  const fastify = Fastify({ trustProxy: true });
  await fastify.register(profilerPlugin, options);
  await fastify.listen({ port: 0, host: '127.0.0.1' });
  closers.push(() => fastify.close());
  doors.push({
    name: 'Fastify 5',
    base: '/debug/pprof',
    port: (fastify.server.address() as AddressInfo).port,
  });

  const handler = profiler.createHandler(mounted === undefined ? {} : { access: mounted });
  await open('node:http', '/debug/pprof', (req, res) => {
    const path = pathBelow(pathOf(req.url ?? '/'), '/debug/pprof');
    if (path !== undefined) void servePprof(handler, { req, res }, { path, url: req.url ?? '/' });
    else res.writeHead(404).end('the app\n');
  });

  return {
    profiler,
    doors,
    close: async () => {
      await Promise.all(closers.map((close) => close()));
      await profiler.stop();
    },
  };
}

const OVERRIDE = 'x-http-method-override';

function trusting(framework: typeof express): express.Express {
  const app = framework();
  app.enable('trust proxy');
  app.use((req, _res, next) => {
    const method = req.headers[OVERRIDE];
    if (typeof method === 'string') req.method = method;
    next();
  });
  return app;
}

function trustingKoa(Framework: typeof Koa): Koa {
  const app = new Framework({ proxy: true });
  app.silent = true;
  app.use((ctx, next) => {
    const method = ctx.headers[OVERRIDE];
    if (typeof method === 'string') ctx.method = method;
    return next();
  });
  return app;
}
