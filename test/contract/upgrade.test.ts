/**
 * Upgrades to WebSocket: beside an app, as `ws` takes them, and through its router, as `@fastify/websocket` and `express-ws` do.
 * The connection is the app's own, and what is counted ends with it.
 */
import { createHash } from 'node:crypto';
import {
  createServer,
  ServerResponse,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import Router from '@koa/router';
import { Profiler } from '@loopprof/core';
import { profilingMiddleware as expressMiddleware } from '@loopprof/express';
import { profilerPlugin } from '@loopprof/fastify';
import { profilingMiddleware as koaMiddleware } from '@loopprof/koa';
import express from 'express';
import Fastify from 'fastify';
import Koa from 'koa';

interface Report {
  series: { method: string; route: string; statusClass: string; count: number; aborted: number }[];
  inFlight: { method: string; route: string }[];
  inFlightCount: number;
}

/** Enough of a WebSocket for bytes to show whether anything is in their way: what comes goes back. */
function accept(req: IncomingMessage, socket: Socket): void {
  const key = `${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${createHash('sha1').update(key).digest('base64')}\r\n\r\n`,
  );
  socket.on('data', (chunk) => socket.write(chunk));
  socket.on('end', () => socket.end());
  socket.on('error', () => {});
}

const ACCEPTED = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

const upgrade = (path: string): string =>
  [
    `GET ${path} HTTP/1.1`,
    'Host: app',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version: 13',
    '',
    '',
  ].join('\r\n');

type Take = (req: IncomingMessage) => void;
type Build = (profiler: Profiler, take: Take) => RequestListener | Promise<RequestListener>;

const builds: Record<string, Build> = {
  Express: (profiler, take) => {
    const app = express();
    app.use(expressMiddleware({ profiler }));
    app.get('/rooms/:room', take);
    app.get('/refused/:room', (_req, res) => void res.status(403).set('Connection', 'close').send('no'));
    app.get('/quick', (_req, res) => void res.send('quick'));
    return app;
  },
  Koa: (profiler, take) => {
    const app = new Koa();
    app.use(koaMiddleware({ profiler }));
    const router = new Router();
    router.get('/rooms/:room', (ctx) => {
      ctx.respond = false;
      take(ctx.req);
    });
    router.get('/refused/:room', (ctx) => {
      ctx.status = 403;
      ctx.set('Connection', 'close');
      ctx.body = 'no';
    });
    router.get('/quick', (ctx) => void (ctx.body = 'quick'));
    app.use(router.routes());
    const callback = app.callback();
    return (req, res) => void callback(req, res);
  },
  Fastify: async (profiler, take) => {
    const app = Fastify();
    await app.register(profilerPlugin, { profiler });
    app.get('/rooms/:room', (request, reply) => {
      reply.hijack();
      take(request.raw);
    });
    app.get('/refused/:room', (_request, reply) => reply.code(403).header('Connection', 'close').send('no'));
    app.get('/quick', () => 'quick');
    await app.ready();
    return (req, res) => void app.routing(req, res);
  },
};

describe.each(Object.entries(builds))('%s', (_name, build) => {
  const profiler = new Profiler({ enableHTTP: false, enableCPU: false, enableMemory: false, sidecar: false });
  let server: Server;
  let app: RequestListener;

  beforeEach(async () => {
    await profiler.start();
    app = await build(profiler, (req) => accept(req, req.socket));
    server = createServer(app);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach(async () => {
    server.close().closeAllConnections();
    await profiler.stop();
  });

  async function report(): Promise<Report> {
    const request = { method: 'GET', url: '/requests', path: '/requests', headers: {}, httpVersion: '1.1' };
    const handler = profiler.createHandler({ access: 'public' });
    const { signal } = new AbortController();
    const { body } = await handler({ ...request, remoteAddress: undefined, signal });
    return JSON.parse(typeof body === 'string' ? body : Buffer.from(body).toString()) as Report;
  }

  async function settledReport(): Promise<string[]> {
    for (let attempt = 0; (await report()).inFlightCount > 0; attempt++) {
      if (attempt === 1000) throw new Error('something is in flight for good');
      await sleep(10);
    }
    const { series } = await report();
    return series
      .map(
        ({ method, route, statusClass, count, aborted }) =>
          `${method} ${route} ${statusClass} ${count}, ${aborted} aborted`,
      )
      .sort();
  }

  function open(): {
    socket: Socket;
    received: () => string;
    closed: Promise<unknown>;
    got: (text: string) => Promise<void>;
  } {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').setEncoding('latin1');
    let received = '';
    socket.on('data', (chunk: string) => (received += chunk));
    const got = async (text: string): Promise<void> => {
      for (let attempt = 0; !received.includes(text); attempt++) {
        if (attempt === 1000) throw new Error(`waited in vain for ${text}, got ${received}`);
        await sleep(5);
      }
    };
    return {
      socket,
      received: () => received,
      closed: new Promise((resolve) => socket.on('close', resolve)),
      got,
    };
  }

  it('leaves a WebSocket beside the app alone, on a connection that has served requests before', async () => {
    server.on('upgrade', (req: IncomingMessage, socket: Socket) => accept(req, socket));
    const { socket, closed, got } = open();
    socket.write('GET /quick HTTP/1.1\r\nHost: app\r\n\r\n');
    await got('quick');
    socket.write(upgrade('/rooms/7'));
    await got(ACCEPTED);
    socket.write('hello');
    await got('hello');
    expect((await report()).inFlightCount).toBe(0);
    socket.end();
    await closed;
    expect(await settledReport()).toEqual(['GET /quick 2xx 1, 0 aborted']);
  });

  it.each([
    ['a response on the connection', true],
    ['a response without a connection', false],
  ])(
    'shows a WebSocket that went through the router with %s in flight until it ends',
    async (_how, assigned) => {
      server.on('upgrade', (req: IncomingMessage, socket: Socket) => {
        const res = new ServerResponse(req);
        if (assigned) res.assignSocket(socket);
        app(req, res);
      });
      const { socket, closed, got } = open();
      socket.write(upgrade('/rooms/7'));
      await got(ACCEPTED);
      socket.write('hello');
      await got('hello');
      expect((await report()).inFlight).toMatchObject([{ method: 'GET', route: '/rooms/:room' }]);
      socket.end();
      await closed;
      expect(await settledReport()).toEqual(['GET /rooms/:room none 1, 0 aborted']);
    },
  );

  it('counts an upgrade that the router refuses by its answer', async () => {
    server.on('upgrade', (req: IncomingMessage, socket: Socket) => {
      const res = new ServerResponse(req);
      res.assignSocket(socket);
      res.on('finish', () => socket.end());
      app(req, res);
    });
    const { socket, received, closed } = open();
    socket.write(upgrade('/refused/7'));
    await closed;
    expect(received()).toMatch(/^HTTP\/1.1 403 [^]*no$/);
    expect(await settledReport()).toEqual(['GET /refused/:room 4xx 1, 0 aborted']);
  });

  it('answers as ever where nobody takes the upgrade', async () => {
    const { socket, received, closed, got } = open();
    socket.write(upgrade('/quick'));
    await got('quick');
    socket.end();
    await closed;
    expect(received()).toMatch(/^HTTP\/1.1 200 OK/);
    expect(await settledReport()).toEqual(['GET /quick 2xx 1, 0 aborted']);
  });
});
