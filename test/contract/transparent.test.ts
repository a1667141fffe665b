/**
 * What an app answers, what its own error handling and listeners see, and in which order, is the same with loopprof and without:
 * every case here runs against two copies of one app, with everything on in one of them, and all bytes on the wire and all that
 * the app has noted are compared.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { PassThrough, Readable } from 'node:stream';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { createGzip } from 'node:zlib';
import Router from '@koa/router';
import { getRequestTiming, Profiler } from '@loopprof/core';
import { profilingMiddleware as expressMiddleware } from '@loopprof/express';
import { profilerPlugin } from '@loopprof/fastify';
import { profilingMiddleware as koaMiddleware } from '@loopprof/koa';
import express5, { type ErrorRequestHandler, type RequestHandler } from 'express';
import Fastify, { type FastifyError, type FastifyReply, type FastifyRequest } from 'fastify';
import Koa from 'koa';
import { listen, type Listening } from '../support/listen.js';
import { keepingLogger } from '../support/logger.js';

// The aliases have no types of their own; the calls made here are the same in both versions.
// eslint-disable-next-line @typescript-eslint/no-require-imports
const express4 = require('express4') as typeof express5;
// eslint-disable-next-line @typescript-eslint/no-require-imports
const Koa2 = require('koa2') as typeof Koa;

/** What the app notes: a word about everything that it can see happen. */
type Note = (text: string) => void;

interface App {
  server: Server;
  port: number;
  notes: string[];
}

type Build = (profiler: Profiler | undefined, notes: string[]) => Promise<Server>;

/** An AsyncLocalStorage of the app's own, with the place of the request's beginning in the notes. */
const local = new AsyncLocalStorage<number>();

let requestsTimed = 0;

/** Listens to everything; `who` stands before loopprof in the app or behind it. */
function listenToAll(
  who: string,
  { req, res, note }: { req: IncomingMessage; res: ServerResponse; note: Note },
) {
  const state = (): string =>
    `${res.statusCode} sent=${res.headersSent} ended=${res.writableEnded} finished=${res.writableFinished}`;
  for (const event of ['prefinish', 'finish', 'close', 'pipe', 'error', 'timeout'] as const)
    res.on(event, () => note(`${who} response ${event}: ${state()} local=${local.getStore()}`));
  for (const event of ['end', 'close', 'aborted', 'error'] as const)
    req.on(event, () => note(`${who} request ${event}: ${state()} complete=${req.complete}`));
  const { socket } = req;
  const count = `${socket.listenerCount('close')} ${socket.listenerCount('error')} ${socket.listenerCount('end')}`;
  note(req.headers['x-count'] === who ? `${who} begins with ${count} listeners` : `${who} begins`);
  const wrap = WRAPPERS[String(req.headers[`x-wrap-${who}`])];
  wrap?.(res, note);
}

type Method = (this: ServerResponse, ...args: unknown[]) => unknown;

/** The methods of a response as those see them who replace them. */
const methodsOf = (res: ServerResponse): Partial<Record<'writeHead' | 'write' | 'end', Method>> =>
  res as unknown as ReturnType<typeof methodsOf>;

/** What middlewares do to a response that they want to see the head or the body of. */
const WRAPPERS: Record<string, (res: ServerResponse, note: Note) => void> = {
  head: (res, note) => {
    onHead(res, () => {
      note('head');
      res.setHeader('X-Wrapped', String(res.statusCode));
    });
  },
  'head and back': (res, note) => {
    const { writeHead } = methodsOf(res);
    onHead(res, () => {
      note('head');
      Object.assign(res, { writeHead });
    });
  },
  'head, then forgotten': (res) => {
    onHead(res, () => {});
    delete methodsOf(res).writeHead;
  },
  end: (res, note) => {
    const { end } = methodsOf(res);
    methodsOf(res).end = function (...args) {
      note(`end: sent=${this.headersSent}`);
      if (!this.headersSent) this.setHeader('X-Ended', 'yes');
      return end?.apply(this, args);
    };
  },
  gzip: (res) => {
    const { write, end } = methodsOf(res);
    const gzip = createGzip();
    gzip.on('data', (chunk) => write?.call(res, chunk));
    gzip.on('drain', () => res.emit('drain'));
    gzip.on('end', () => end?.call(res));
    onHead(res, () => {
      res.removeHeader('Content-Length');
      res.setHeader('Content-Encoding', 'gzip');
    });
    const head = (): void => {
      if (!res.headersSent) res.writeHead(res.statusCode);
    };
    methodsOf(res).write = (chunk) => (head(), gzip.write(chunk));
    methodsOf(res).end = (chunk) => (head(), gzip.end(chunk), res);
  },
};

/** As the package on-headers does it: what was given to writeHead is set first, so that the listener can see and change it. */
function onHead(res: ServerResponse, listener: () => void): void {
  const { writeHead } = methodsOf(res);
  let fired = false;
  methodsOf(res).writeHead = function (status, ...rest) {
    const message = typeof rest[0] === 'string' ? [rest.shift()] : [];
    this.statusCode = status as number;
    const given = rest[0] as Record<string, string> | string[] | undefined;
    if (Array.isArray(given)) {
      for (let at = 0; at < given.length; at += 2)
        this.appendHeader(given[at] as string, given[at + 1] as string);
    } else {
      for (const [name, value] of Object.entries(given ?? {})) this.setHeader(name, value);
    }
    if (!fired) listener();
    fired = true;
    return writeHead?.call(this, this.statusCode, ...message);
  };
}

const CHUNK = 'a line that is repeated very often\n'.repeat(512);

const codeOf = (error: unknown): string => String((error as NodeJS.ErrnoException | null)?.code);

/** Handlers that speak to Node's own request and response, whatever the framework. */
const PLAIN: Record<string, (req: IncomingMessage, res: ServerResponse, note: Note) => unknown> = {
  plain: (_req, res) => res.end('plain'),
  'head-object': (_req, res) => res.writeHead(201, { 'X-A': '1', 'x-b': ['2', '3'], 'X-A2': 4 }).end('x'),
  'head-array': (_req, res) => res.writeHead(200, ['X-B', '1', 'X-A', '2', 'x-b', '3']).end('x'),
  'head-over-set': (_req, res) => {
    res.setHeader('X-Set', 'before');
    res.setHeader('X-Kept', ['a', 'b']);
    res.writeHead(200, { 'x-set': 'by writeHead', 'X-New': 'new' }).end('x');
  },
  'head-array-over-set': (_req, res) => {
    res.setHeader('X-Set', 'before');
    res.writeHead(200, ['X-Set', '1', 'X-Set', '2']).end('x');
  },
  'reason-argument': (_req, res) => res.writeHead(299, 'Quite Fine', { 'X-A': '1' }).end('x'),
  'reason-property': (_req, res) => {
    res.statusCode = 418;
    res.statusMessage = 'Still A Teapot';
    res.end('x');
  },
  'explicit-length': (_req, res) => {
    res.setHeader('Content-Length', 5);
    res.write('he');
    res.end('llo');
  },
  'no-date': (_req, res) => {
    res.sendDate = false;
    res.end('x');
  },
  trailers: (_req, res) => {
    res.writeHead(200, { Trailer: 'X-Sum' });
    res.write('some');
    res.addTrailers({ 'X-Sum': '17' });
    res.end('more');
  },
  flushed: (_req, res, note) => {
    res.setHeader('X-A', '1');
    res.flushHeaders();
    note(`flushed: sent=${res.headersSent}`);
    setTimeout(() => res.end('late'), 20);
  },
  'early-hints': (_req, res) => {
    res.writeEarlyHints({ link: ['</a.css>; rel=preload', '</b.js>; rel=preload'] }, () =>
      res.writeHead(200, { 'X-A': '1' }).end('x'),
    );
  },
  processing: (_req, res) => {
    res.writeProcessing();
    res.end('x');
  },
  callbacks: (_req, res, note) => {
    res.write('a', () => note('written'));
    res.end('b', () => note('ended'));
  },
  'head-twice': (_req, res, note) => {
    res.writeHead(200, { 'X-A': '1' });
    try {
      res.writeHead(201);
    } catch (error) {
      note(codeOf(error));
    }
    try {
      res.setHeader('X-Late', '1');
    } catch (error) {
      note(codeOf(error));
    }
    res.end('x');
  },
  'head-refused': (_req, res, note) => {
    for (const [status, headers] of [
      [99, {}],
      [200, { 'bad name': 'x' }],
    ] as const) {
      try {
        res.writeHead(status, headers);
      } catch (error) {
        note(codeOf(error));
      }
    }
    res.writeHead(500, { 'X-A': '1' }).end('refused');
  },
  'ended-twice': (_req, res, note) => {
    res.end('first');
    res.end('second', (error?: Error) => note(codeOf(error)));
    res.write('third', (error) => note(codeOf(error)));
  },
  stream: (_req, res) => Readable.from(Array.from({ length: 60 }, () => CHUNK)).pipe(res),
  'length-and-status-later': (_req, res, note) => {
    setImmediate(() => {
      res.statusCode = 202;
      res.setHeader('Content-Length', 1);
      note(`local=${local.getStore()}`);
      res.end('x');
    });
  },
  slow: (_req, res) => setTimeout(() => res.end('slow'), 60),
  timeout: (_req, res, note) =>
    void res.setTimeout(30, () => {
      note('timeout');
      res.end('timed out');
    }),
  hang: (req, res, note) => {
    // What is sent to somebody who is gone.
    res.on('close', () => {
      note(`gone: ${res.write('late', (error) => note(`late write ${codeOf(error)}`))}`);
      res.end(() => note('late end'));
    });
    req.socket.on('close', () => note('socket close'));
    note('hangs');
  },
  'hang-halfway': (_req, res, note) => {
    res.on('close', () => note('gone'));
    res.write('half', () => note('hangs'));
  },
  'destroy-response': (_req, res) => {
    res.write('half');
    setImmediate(() => res.destroy());
  },
  'destroy-request': (req) => req.destroy(new Error('enough')),
  'destroy-socket': (req, res) => {
    res.flushHeaders();
    setImmediate(() => req.socket.destroy());
  },
  upload: async (req, res, note) => {
    let length = 0;
    try {
      for await (const chunk of req) length += (chunk as Buffer).length;
      res.end(String(length));
    } catch (error) {
      note(`upload failed after ${length}: ${codeOf(error)}`);
    }
  },
  unread: (_req, res) => res.writeHead(413, { Connection: 'close' }).end('too much'),
};

function broken(message: string, more: object = {}): Error {
  const error = Object.assign(new Error(message), more);
  // Default error handlers show the stack outside production, and our own frame is in it.
  error.stack = `Error: ${message}`;
  return error;
}

function expressApp(express: typeof express5): Build {
  return (profiler, notes) => {
    const note: Note = (text) => void notes.push(text);
    const app = express();
    app.set('env', 'test');
    app.use((_req, _res, next) => local.run(notes.length, next));
    app.use((req, res, next) => {
      listenToAll('outer', { req, res, note });
      next();
    });
    if (profiler) app.use(expressMiddleware({ profiler }));
    app.use((req, res, next) => {
      if (getRequestTiming(req)) requestsTimed++;
      listenToAll('inner', { req, res, note });
      next();
    });
    app.use(express.json());
    app.use('/error/early', () => {
      throw broken('early');
    });
    app.get('/json/:id', (req, res) => {
      note(`handler: ${String((req.route as { path: string }).path)} local=${local.getStore()}`);
      res.json({ id: req.params.id });
    });
    app.get('/no-content', (_req, res) => void res.sendStatus(204));
    app.get('/etag', (_req, res) => void res.set('ETag', '"one"').send('content'));
    app.get('/redirect', (_req, res) => res.redirect('/json/1'));
    app.get('/cookies', (_req, res) => void res.cookie('a', '1').cookie('b', '2').append('X-A', '1').send());
    app.get('/file', (_req, res) => res.sendFile(__filename));
    app.get('/stream', (_req, res) => void Readable.from([CHUNK, CHUNK]).pipe(res));
    app.post('/echo', (req, res) => void res.status(201).json(req.body));
    app.get('/passes', (_req, _res, next) => next('route'));
    app.get('/passes', (_req, res) => void res.send('second'));
    const errors: Record<string, RequestHandler> = {
      sync: () => {
        throw broken('sync');
      },
      text: () => {
        // eslint-disable-next-line @typescript-eslint/only-throw-error -- what is thrown need not be an error
        throw 'just text';
      },
      next: (_req, _res, next) => void setImmediate(() => next(broken('next'))),
      status: (_req, _res, next) => next(broken('teapot', { status: 418, headers: { 'X-Pot': 'yes' } })),
      halfway: (_req, res, next) => {
        res.write('half');
        setImmediate(() => next(broken('halfway')));
      },
      handled: () => {
        throw broken('handled');
      },
      twice: () => {
        throw broken('twice');
      },
    };
    for (const [name, handler] of Object.entries(errors)) app.get(`/error/${name}`, handler);
    if (express === express5) {
      app.get('/error/async', async () => {
        await turn();
        throw broken('async');
      });
    }
    app.all('/plain/:name', (req, res) => void PLAIN[req.params.name]?.(req, res, note));
    const noteError =
      (who: string): ErrorRequestHandler =>
      (error: Error | string, req, res, next) => {
        const route = (req.route as { path: string } | undefined)?.path;
        const text = error instanceof Error ? error.message : `thrown ${error}`;
        // Others may be thrown with a stack that we are in.
        if (error instanceof Error) error.stack = `Error: ${text}`;
        note(`${who}: ${text} route=${route} sent=${res.headersSent} local=${local.getStore()}`);
        if (who === 'second' && text === 'twice') throw broken('in the error handler');
        if (who === 'second' && text === 'handled') res.status(503).send('handled');
        else next(error);
      };
    app.use(noteError('first'), noteError('second'));
    return listening(createServer(app));
  };
}

function koaApp(KoaVersion: typeof Koa): Build {
  return (profiler, notes) => {
    const note: Note = (text) => void notes.push(text);
    const app = new KoaVersion();
    app.on('error', (error: Error, ctx?: Koa.Context) =>
      note(`app error: ${error.message} ${ctx?.path} ${ctx?.status} sent=${ctx?.headerSent}`),
    );
    app.use((_ctx, next) => local.run(notes.length, next));
    app.use(async (ctx, next) => {
      listenToAll('outer', { req: ctx.req, res: ctx.res, note });
      try {
        await next();
        note(`outer resolves: ${ctx.status} ${typeof ctx.body}`);
      } catch (error) {
        note(
          `outer rejects: ${error instanceof Error ? error.message : `thrown ${String(error)}`} ${ctx.status}`,
        );
        throw error;
      }
    });
    if (profiler) app.use(koaMiddleware({ profiler }));
    app.use((ctx, next) => {
      if (getRequestTiming(ctx.req)) requestsTimed++;
      listenToAll('inner', { req: ctx.req, res: ctx.res, note });
      if (ctx.path === '/error/early') throw broken('early');
      return next();
    });
    app.use(async (ctx, next) => {
      try {
        await next();
      } catch (error) {
        if (!(error instanceof Error) || error.message !== 'handled') throw error;
        ctx.status = 503;
        ctx.body = 'handled';
      }
    });
    const router = new Router();
    router.get('/json/:id', async (ctx) => {
      await turn();
      note(`handler: ${String(ctx['_matchedRoute'])} local=${local.getStore()}`);
      ctx.body = { id: ctx['params'].id as string };
    });
    router.get('/no-content', (ctx) => void (ctx.status = 204));
    router.get('/etag', (ctx) => {
      ctx.status = 200;
      ctx.etag = 'one';
      if (ctx.fresh) ctx.status = 304;
      else ctx.body = 'content';
    });
    router.get('/redirect', (ctx) => ctx.redirect('/json/1'));
    router.get('/cookies', (ctx) => {
      ctx.cookies.set('a', '1');
      ctx.cookies.set('b', '2');
      ctx.append('X-A', '1');
      ctx.body = '';
    });
    router.get('/stream', (ctx) => void (ctx.body = Readable.from([CHUNK, CHUNK])));
    router.get('/passes', (_ctx, next) => next());
    const errors: Record<string, (ctx: Koa.Context) => unknown> = {
      sync: () => {
        throw broken('sync');
      },
      async: async () => {
        await turn();
        throw broken('async');
      },
      text: () => {
        // eslint-disable-next-line @typescript-eslint/only-throw-error -- what is thrown need not be an error
        throw 'just text';
      },
      status: (ctx) => ctx.throw(418, 'teapot', { headers: { 'X-Pot': 'yes' } }),
      handled: () => {
        throw broken('handled');
      },
      halfway: (ctx) => {
        const stream = new PassThrough();
        stream.write('half');
        setTimeout(() => stream.destroy(broken('halfway')), 20);
        ctx.body = stream;
      },
    };
    for (const [name, handler] of Object.entries(errors))
      router.get(`/error/${name}`, (ctx) => handler(ctx as unknown as Koa.Context) as Promise<void>);
    router.all('/plain/:name', (ctx) => {
      ctx.respond = false;
      ctx.res.statusCode = 200;
      PLAIN[ctx['params'].name as string]?.(ctx.req, ctx.res, note);
    });
    app.use(router.routes());
    app.use(router.allowedMethods());
    const callback = app.callback();
    return listening(createServer((req, res) => void callback(req, res)));
  };
}

const fastifyApp: Build = async (profiler, notes) => {
  const note: Note = (text) => void notes.push(text);
  const app = Fastify({ forceCloseConnections: true });
  app.addHook('onRequest', (_request, _reply, done) => local.run(notes.length, done));
  app.addHook('onRequest', (request, reply, done) => {
    listenToAll('outer', { req: request.raw, res: reply.raw, note });
    done();
  });
  if (profiler) await app.register(profilerPlugin, { profiler });
  app.addHook('onRequest', (request, reply, done) => {
    if (getRequestTiming(request.raw)) requestsTimed++;
    listenToAll('inner', { req: request.raw, res: reply.raw, note });
    note(`onRequest ${request.routeOptions.url}`);
    done(request.url === '/error/early' ? broken('early') : undefined);
  });
  app.addHook('preHandler', async (request) => {
    await turn();
    note(`preHandler local=${local.getStore()}`);
    if (request.url === '/error/hook') throw broken('hook');
  });
  app.addHook('preSerialization', (_request, _reply, payload, done) => {
    note('preSerialization');
    done(null, payload);
  });
  app.addHook('onSend', async (_request, reply) => note(`onSend ${reply.statusCode} sent=${reply.sent}`));
  app.addHook('onResponse', async (_request, reply) => note(`onResponse ${reply.statusCode}`));
  app.addHook('onRequestAbort', (request, done) => {
    note(`onRequestAbort ${request.url}`);
    done();
  });
  app.addHook('onError', async (_request, reply, error) =>
    note(`onError ${error.message} ${reply.statusCode} sent=${reply.sent}`),
  );
  app.addContentTypeParser('application/octet-stream', (_request, _payload, done) => done(null));
  app.get('/json/:id', async (request) => {
    await turn();
    note(`handler: ${request.routeOptions.url} local=${local.getStore()}`);
    return { id: (request.params as { id: string }).id };
  });
  app.get('/no-content', (_request, reply) => reply.code(204).send());
  app.get('/etag', (request, reply) => {
    void reply.header('ETag', '"one"');
    return request.headers['if-none-match'] === '"one"' ? reply.code(304).send() : reply.send('content');
  });
  app.get('/redirect', (_request, reply) => reply.redirect('/json/1'));
  app.get('/cookies', (_request, reply) =>
    reply.header('Set-Cookie', 'a=1').header('Set-Cookie', 'b=2').header('X-A', '1').send(''),
  );
  app.get('/stream', (_request, reply) => reply.send(Readable.from([CHUNK, CHUNK])));
  app.get('/trailers', (_request, reply) => {
    void reply.trailer('X-Sum', () => Promise.resolve('17'));
    return reply.send('content');
  });
  app.post('/echo', (request, reply) => reply.code(201).send(request.body));
  const schema = { querystring: { type: 'object', properties: { n: { type: 'integer' } } } };
  app.get('/number', { schema }, (request) => request.query);
  app.get('/error/early', () => 'never');
  app.get('/error/hook', () => 'never');
  app.get('/error/sync', () => {
    throw broken('sync');
  });
  app.get('/error/async', async () => {
    await turn();
    throw broken('async');
  });
  app.get('/error/text', () => {
    // eslint-disable-next-line @typescript-eslint/only-throw-error -- what is thrown need not be an error
    throw 'just text';
  });
  app.get('/error/status', (_request, reply) =>
    reply.header('X-Pot', 'yes').send(broken('teapot', { statusCode: 418, code: 'POT' })),
  );
  app.get('/error/halfway', (_request, reply) => {
    const stream = new PassThrough();
    stream.write('half');
    setTimeout(() => stream.destroy(broken('halfway')), 20);
    return reply.send(stream);
  });
  app.all('/plain/:name', (request, reply) => {
    reply.hijack();
    PLAIN[(request.params as { name: string }).name]?.(request.raw, reply.raw, note);
  });
  await app.register((child, _options, done) => {
    child.setErrorHandler((error: FastifyError, request, reply) => {
      note(`error handler: ${error.message} ${request.routeOptions.url} ${reply.statusCode}`);
      if (error.message === 'twice') throw broken('in the error handler');
      return reply.code(503).send('handled');
    });
    child.get('/error/handled', () => {
      throw broken('handled');
    });
    child.get('/error/twice', () => {
      throw broken('twice');
    });
    done();
  });
  await app.listen({ port: 0, host: '127.0.0.1' });
  return app.server;
};

async function listening(server: Server): Promise<Server> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

/** What came back on one connection; long bodies are shown by their sum. */
function shown(received: string): string {
  const text = received.replace(/^Date: .*$/gm, 'Date: now');
  if (text.length < 4096) return text;
  return `${text.slice(0, 1024)}… ${text.length} bytes, ${createHash('sha256').update(text).digest('hex')}`;
}

interface Client {
  socket: Socket;
  received: () => string;
  closed: Promise<unknown>;
}

function open(port: number): Client {
  const socket = connect(port, '127.0.0.1');
  let received = '';
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => (received += chunk));
  // How a broken connection shows here depends on what was still under way; that it is closed does not.
  socket.on('error', () => {});
  return { socket, received: () => received, closed: new Promise((resolve) => socket.on('close', resolve)) };
}

const request = (line: string, ...headers: string[]): string =>
  [`${line} HTTP/1.1`, 'Host: app', ...headers, '', ''].join('\r\n');

const only = (line: string, ...headers: string[]): string => request(line, ...headers, 'Connection: close');

async function until(isSo: () => boolean): Promise<void> {
  for (let attempt = 0; !isSo(); attempt++) {
    if (attempt === 1000) throw new Error('waited in vain');
    await sleep(5);
  }
}

/** Sends what is given and waits for the server to close the connection. */
async function converse({ port }: App, text: string): Promise<string> {
  const { socket, received, closed } = open(port);
  socket.write(text, 'latin1');
  await closed;
  return received();
}

interface Case {
  name: string;
  /** What is sent, or who speaks with the app and tells what came back. */
  send: string | ((app: App) => Promise<string>);
  /** Proof that the case is what its name says: a part of what came back, or of the notes. */
  shows: string;
  /** Frameworks that have such a thing, where not all do. */
  in?: RegExp;
}

const hangUp =
  (text: string, how: (socket: Socket) => unknown) =>
  async (app: App): Promise<string> => {
    const { socket, received, closed } = open(app.port);
    socket.write(text);
    await until(() => app.notes.includes('hangs'));
    // The half that was sent has to have arrived, or it would be a matter of chance.
    if (text.includes('halfway')) await until(() => received().includes('half'));
    how(socket);
    await closed;
    return received();
  };

const PLAIN_CASES: [name: string, shows: string][] = [
  ['plain', 'Content-Length: 5'],
  ['head-object', 'X-A: 1\r\nx-b: 2\r\nx-b: 3\r\nX-A2: 4'],
  ['head-array', 'X-A: 2'],
  ['head-over-set', 'by writeHead'],
  ['head-array-over-set', 'X-Set: 2'],
  ['reason-argument', 'HTTP/1.1 299 Quite Fine'],
  ['reason-property', 'HTTP/1.1 418 Still A Teapot'],
  ['explicit-length', 'Content-Length: 5'],
  ['no-date', 'HTTP/1.1 200'],
  ['trailers', '0\r\nX-Sum: 17\r\n'],
  ['flushed', 'flushed: sent=true'],
  ['early-hints', 'HTTP/1.1 103 Early Hints'],
  ['processing', 'HTTP/1.1 102 Processing'],
  ['callbacks', 'written'],
  ['head-twice', 'ERR_HTTP_HEADERS_SENT'],
  ['head-refused', 'ERR_HTTP_INVALID_STATUS_CODE'],
  ['ended-twice', 'ERR_STREAM_WRITE_AFTER_END'],
  ['stream', 'Transfer-Encoding: chunked'],
  ['length-and-status-later', 'local=0'],
  ['slow', 'slow'],
  ['timeout', 'timed out'],
  ['destroy-response', 'half'],
  ['destroy-request', 'outer request close'],
  ['destroy-socket', 'HTTP/1.1 200'],
];

const CASES: Case[] = [
  ...PLAIN_CASES.map(([name, shows]) => ({ name: `plain ${name}`, send: only(`GET /plain/${name}`), shows })),
  ...['plain', 'head-object', 'reason-argument', 'explicit-length', 'flushed', 'stream'].map((name) => ({
    name: `plain ${name}, HEAD`,
    send: only(`HEAD /plain/${name}`),
    shows: 'inner response finish',
  })),
  ...Object.keys(WRAPPERS).flatMap((wrapper) =>
    ['outer', 'inner'].flatMap((who) =>
      ['json/1', 'stream', 'plain/head-array', 'plain/trailers', 'error/sync', 'no-content'].map((path) => ({
        name: `a wrapper of ${wrapper} in an ${who} middleware, ${path}`,
        send: only(`GET /${path}`, `X-Wrap-${who}: ${wrapper}`),
        shows: 'inner response close',
      })),
    ),
  ),
  {
    name: 'wrappers before and behind',
    send: only('GET /json/1', 'X-Wrap-outer: end', 'X-Wrap-inner: head'),
    shows: 'X-Wrapped: 200',
  },
  { name: 'JSON', send: only('GET /json/7'), shows: '{"id":"7"}' },
  { name: 'JSON by HTTP/1.0', send: 'GET /json/7 HTTP/1.0\r\n\r\n', shows: '{"id":"7"}' },
  {
    name: 'the handler keeps its AsyncLocalStorage',
    send: only('GET /json/7'),
    shows: '/json/:id local=0',
  },
  { name: 'HEAD', send: only('HEAD /json/7'), shows: 'HTTP/1.1 200' },
  { name: '204', send: only('GET /no-content'), shows: 'HTTP/1.1 204' },
  { name: 'an ETag', send: only('GET /etag'), shows: 'ETag: "one"' },
  { name: '304', send: only('GET /etag', 'If-None-Match: "one"'), shows: 'HTTP/1.1 304' },
  { name: 'a redirect', send: only('GET /redirect'), shows: 'HTTP/1.1 302' },
  { name: 'repeated headers', send: only('GET /cookies'), shows: 'b=2' },
  { name: 'a stream', send: only('GET /stream'), shows: 'Transfer-Encoding: chunked' },
  { name: 'a stream, HEAD', send: only('HEAD /stream'), shows: 'HTTP/1.1 200' },
  { name: '404', send: only('GET /nowhere'), shows: 'HTTP/1.1 404' },
  { name: '404 by HEAD', send: only('HEAD /nowhere'), shows: 'HTTP/1.1 404' },
  {
    name: 'a route that passes on',
    send: only('GET /passes'),
    shows: 'inner response finish',
    in: /Express|Koa/,
  },
  { name: 'another method', send: only('DELETE /json/7'), shows: 'HTTP/1.1 40' },
  { name: 'OPTIONS', send: only('OPTIONS /json/7'), shows: 'inner response finish' },
  { name: 'OPTIONS of nothing', send: only('OPTIONS /nowhere'), shows: 'HTTP/1.1 404' },
  { name: 'OPTIONS *', send: only('OPTIONS *'), shows: 'inner response finish' },
  { name: 'an unusual method', send: only('PROPFIND /json/7'), shows: 'HTTP/1.1 ' },
  { name: 'an absolute URL', send: only('GET http://app/json/7'), shows: 'HTTP/1.1 ' },
  { name: 'a parameter that cannot be decoded', send: only('GET /json/%ff'), shows: 'HTTP/1.1 ' },
  { name: 'what is not HTTP', send: 'this is not HTTP\r\n\r\n', shows: 'HTTP/1.1 400' },
  { name: 'a file', send: only('GET /file'), shows: 'Accept-Ranges: bytes', in: /Express/ },
  {
    name: 'a part of a file',
    send: only('GET /file', 'Range: bytes=5-9'),
    shows: 'HTTP/1.1 206',
    in: /Express/,
  },
  {
    name: 'a body',
    send: `${only('POST /echo', 'Content-Type: application/json', 'Content-Length: 7')}{"a":1}`,
    shows: 'HTTP/1.1 201',
    in: /Express|Fastify/,
  },
  {
    name: 'a body that cannot be parsed',
    send: `${only('POST /echo', 'Content-Type: application/json', 'Content-Length: 7')}{"a":1,`,
    shows: 'HTTP/1.1 400',
    in: /Express|Fastify/,
  },
  {
    name: 'a body in chunks',
    send: `${only('POST /plain/upload', 'Content-Type: application/octet-stream', 'Transfer-Encoding: chunked')}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`,
    shows: '\r\n5',
  },
  {
    name: 'a body that nobody reads',
    send: `${only('POST /plain/unread', 'Content-Type: application/octet-stream', 'Content-Length: 200000')}${'x'.repeat(1000)}`,
    shows: 'HTTP/1.1 413',
  },
  { name: "the framework's trailers", send: only('GET /trailers'), shows: 'X-Sum: 17', in: /Fastify/ },
  {
    name: 'what a schema refuses',
    send: only('GET /number?n=x'),
    shows: 'querystring/n must be',
    in: /Fastify/,
  },

  { name: 'an error before any route', send: only('GET /error/early'), shows: 'HTTP/1.1 500' },
  { name: 'an error in a hook', send: only('GET /error/hook'), shows: 'onError hook', in: /Fastify/ },
  { name: 'a thrown error', send: only('GET /error/sync'), shows: 'HTTP/1.1 500' },
  { name: 'a thrown error, HEAD', send: only('HEAD /error/sync'), shows: 'HTTP/1.1 500' },
  { name: 'a rejection', send: only('GET /error/async'), shows: 'HTTP/1.1 500', in: /Express 5|Koa|Fastify/ },
  { name: 'an error passed on later', send: only('GET /error/next'), shows: 'first: next', in: /Express/ },
  { name: 'a thrown text', send: only('GET /error/text'), shows: 'HTTP/1.1 500' },
  { name: 'an error with a status and headers', send: only('GET /error/status'), shows: 'X-Pot: yes' },
  { name: 'an error that the app handles', send: only('GET /error/handled'), shows: 'HTTP/1.1 503' },
  {
    name: 'an error in the error handler',
    send: only('GET /error/twice'),
    shows: 'in the error handler',
    in: /Express|Fastify/,
  },
  // Koa 2 leaves such a connection open.
  { name: 'an error halfway', send: only('GET /error/halfway'), shows: 'half', in: /Express|Koa 3|Fastify/ },

  {
    name: 'a client that hangs up',
    send: hangUp(request('GET /plain/hang'), (socket) => socket.destroy()),
    shows: 'gone:',
  },
  {
    name: 'a client that resets the connection',
    send: hangUp(request('GET /plain/hang'), (socket) => socket.resetAndDestroy()),
    shows: 'gone:',
  },
  {
    name: 'a client that hangs up halfway',
    send: hangUp(request('GET /plain/hang-halfway'), (socket) => socket.destroy()),
    shows: 'gone',
  },
  {
    name: 'a client that hangs up while it uploads',
    send: async (app) => {
      const { socket, received, closed } = open(app.port);
      const headers = ['Content-Type: application/octet-stream', 'Content-Length: 1000'];
      socket.write(`${request('POST /plain/upload', ...headers)}some`);
      await until(() => app.notes.some((note) => note.startsWith('inner begins')));
      await sleep(30);
      socket.destroy();
      await closed;
      return received();
    },
    shows: 'upload failed after 4: ECONNRESET',
  },
  {
    name: 'a client that hangs up while its body is parsed',
    send: async (app) => {
      const { socket, received, closed } = open(app.port);
      socket.write(
        `${request('POST /echo', 'Content-Type: application/json', 'Content-Length: 1000')}{"some":`,
      );
      await until(() => app.notes.some((note) => note.startsWith('inner begins')));
      await sleep(30);
      socket.destroy();
      await closed;
      return received();
    },
    shows: 'inner request close',
    in: /Express|Fastify/,
  },
  {
    name: 'a client that closes its half of the connection',
    send: hangUp(request('GET /plain/hang'), (socket) => socket.end()),
    shows: 'outer request aborted',
  },
  {
    name: 'requests that are sent at once',
    send: [
      request('GET /plain/slow'),
      request('GET /json/1'),
      request('GET /plain/trailers'),
      request('HEAD /nowhere'),
      only('GET /plain/plain'),
    ].join(''),
    shows: 'slowHTTP/1.1 200 OK',
  },
  {
    name: 'many requests that are sent at once',
    send: request('GET /json/1').repeat(20) + only('GET /json/2'),
    shows: 'handler: /json/:id local=',
  },
  {
    name: 'requests one after the other on one connection',
    send: async ({ port }) => {
      const { socket, received, closed } = open(port);
      for (let count = 1; count <= 15; count++) {
        // What an earlier request has left on the connection shows where the next one begins.
        socket.write(request('GET /json/1', 'X-Count: outer'));
        await until(() => received().split('{"id":"1"}').length === count + 1);
      }
      socket.end();
      await closed;
      return received();
    },
    shows: 'outer begins with',
  },
  {
    name: '100 Continue',
    send: async ({ port }) => {
      const { socket, received, closed } = open(port);
      const headers = ['Content-Type: application/octet-stream', 'Content-Length: 5', 'Expect: 100-continue'];
      socket.write(only('POST /plain/upload', ...headers));
      await until(() => received().includes('100 Continue'));
      socket.write('hello');
      await closed;
      return received();
    },
    shows: 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK',
  },
  {
    name: '100 Continue that the app decides about',
    send: async ({ port, server, notes }) => {
      server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => {
        notes.push('checkContinue');
        res.writeContinue();
        server.emit('request', req, res);
      });
      const { socket, received, closed } = open(port);
      const headers = ['Content-Type: application/octet-stream', 'Content-Length: 5', 'Expect: 100-continue'];
      socket.write(only('POST /plain/upload', ...headers));
      await until(() => received().includes('100 Continue'));
      socket.write('hello');
      await closed;
      server.removeAllListeners('checkContinue');
      return received();
    },
    shows: 'checkContinue',
  },
  {
    name: 'an upgrade to WebSocket',
    send: async ({ port, server, notes }) => {
      server.on('upgrade', (req: IncomingMessage, socket: Socket) => {
        notes.push(`upgrade ${req.url} ${socket.listenerCount('close')} ${socket.listenerCount('error')}`);
        const key = `${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
        const accept = createHash('sha1').update(key).digest('base64');
        socket.write(
          `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
        );
        // What comes goes back: enough of a WebSocket for bytes to show whether anything is in their way.
        socket.on('data', (chunk) => socket.write(chunk));
        socket.on('close', () => notes.push('socket close'));
        socket.on('end', () => socket.end());
      });
      const { socket, received, closed } = open(port);
      // The connection has served a request before: whatever is attached for that one must be off it again.
      socket.write(request('GET /json/1'));
      await until(() => received().includes('{"id":"1"}'));
      const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
      const headers = ['Connection: Upgrade', 'Upgrade: websocket', key, 'Sec-WebSocket-Version: 13'];
      socket.write(request('GET /socket', ...headers));
      await until(() => received().includes('s3pPLMBiTxaQ9kYGzzhZRbK+xOo='));
      socket.write('\x81\x05hello', 'latin1');
      await until(() => received().endsWith('\x81\x05hello'));
      socket.end();
      await closed;
      await until(() => notes.includes('socket close'));
      server.removeAllListeners('upgrade');
      return received();
    },
    shows: 'upgrade /socket',
  },
  {
    name: 'an upgrade that nobody takes',
    send: request('GET /json/1', 'Connection: Upgrade, close', 'Upgrade: websocket'),
    shows: '{"id":"1"}',
  },
];

const FRAMEWORKS: [name: string, build: Build][] = [
  ['Express 5', expressApp(express5)],
  ['Express 4', expressApp(express4)],
  ['Koa 3', koaApp(Koa)],
  ['Koa 2', koaApp(Koa2)],
  ['Fastify 5', fastifyApp],
];

/** Gives the app a turn or two for what it does after the last byte. */
async function settled({ notes }: App): Promise<void> {
  const begun = (): number => notes.filter((note) => note.startsWith('inner begins')).length;
  const closed = (): number => notes.filter((note) => note.startsWith('inner response close')).length;
  await until(() => closed() === begun());
  await sleep(4);
}

// Everything on: what is not, cannot be in the way.
const logger = keepingLogger();
const profiler = new Profiler({ enableHTTP: false, labels: true }, logger);

beforeAll(() => profiler.start());
afterAll(async () => {
  await profiler.stop();
  expect(logger.messages('error')).toEqual([]);
});

describe('the same with loopprof as without', () => {
  describe.each(FRAMEWORKS)('in %s', (framework, build) => {
    const apps: App[] = [];

    beforeAll(async () => {
      for (const given of [undefined, profiler]) {
        const notes: string[] = [];
        const server = await build(given, notes);
        apps.push({ server, notes, port: (server.address() as AddressInfo).port });
      }
    });
    afterAll(() => {
      for (const { server } of apps) server.close().closeAllConnections();
    });

    const cases = CASES.filter((each) => !each.in || each.in.test(framework));
    it.each(cases.map((each) => [each.name, each] as const))('%s', async (_name, { send, shows }) => {
      const seen: { received: string; notes: string[] }[] = [];
      const timedBefore = requestsTimed;
      for (const app of apps) {
        app.notes.length = 0;
        const received = await (typeof send === 'string' ? converse(app, send) : send(app));
        await settled(app);
        seen.push({ received: shown(received), notes: [...app.notes] });
      }
      const [without, withLoopprof] = seen;
      expect(withLoopprof).toEqual(without);
      const all = `${without?.received}\n${without?.notes.join('\n')}`;
      expect(all.toLowerCase()).toContain(shows.toLowerCase());
      const begun = without?.notes.filter((note) => note.startsWith('inner begins')).length;
      expect(requestsTimed - timedBefore).toBe(begun);
    });
  });
});

describe('a failure inside loopprof stays there', () => {
  const fail = (): never => {
    throw new Error('inside loopprof');
  };
  /** As an app does that wants nobody to touch its responses. */
  const lock = (res: ServerResponse): void => {
    const { writeHead } = methodsOf(res);
    Object.defineProperty(res, 'writeHead', { value: writeHead, writable: false, configurable: false });
  };

  let app: Listening;
  afterEach(() => app.close());

  async function expectAnswers(wanted: Record<string, string>): Promise<void> {
    for (const [path, answer] of Object.entries(wanted)) {
      const response = await fetch(app.origin + path);
      expect(`${response.status} ${await response.text()}`).toBe(answer);
    }
  }

  describe.each([
    ['Express 5', express5],
    ['Express 4', express4],
  ])('in %s', (_name, express) => {
    it('when a route does not tell its path', async () => {
      const root = express();
      root.use(expressMiddleware({ profiler }));
      const route = root.route('/found').get((_req, res) => void res.send('found'));
      Object.defineProperty(route, 'path', { get: fail });
      app = await listen(root);
      await expectAnswers({ '/found': '200 found' });
    });

    it('when the router cannot be searched', async () => {
      const root = express();
      root.use(expressMiddleware({ profiler }));
      const router = express.Router();
      router.get('/found', (_req, res) => void res.send('found'));
      root.use('/in', router);
      root.use((req, _res, next) => {
        Object.defineProperty(req, 'app', { get: fail });
        next();
      }, router);
      app = await listen(root);
      await expectAnswers({ '/found': '200 found', '/in/found': '200 found' });
    });

    it('when the response cannot be watched', async () => {
      const root = express();
      root.use((_req, res, next) => {
        lock(res);
        next();
      });
      root.use(expressMiddleware({ profiler }));
      root.get('/found', (_req, res) => void res.send('found'));
      app = await listen(root);
      await expectAnswers({ '/found': '200 found' });
    });
  });

  describe.each([
    ['Koa 3', Koa],
    ['Koa 2', Koa2],
  ])('in %s', (_name, KoaVersion) => {
    const serve = async (...middlewares: Koa.Middleware[]): Promise<void> => {
      const root = new KoaVersion();
      root.silent = true;
      for (const middleware of middlewares) root.use(middleware);
      const callback = root.callback();
      app = await listen((req, res) => void callback(req, res));
    };

    it('when the router has left something odd for a route', async () => {
      await serve(koaMiddleware({ profiler }), (ctx) => {
        (ctx as { _matchedRoute?: unknown })._matchedRoute = { toString: fail };
        ctx.body = 'found';
      });
      await expectAnswers({ '/found': '200 found' });
    });

    it('when the response does not tell whether its 404 is meant', async () => {
      await serve(koaMiddleware({ profiler }), (ctx) => {
        Object.defineProperty(ctx.response, '_explicitStatus', { get: fail });
      });
      await expectAnswers({ '/nowhere': '404 Not Found' });
    });

    it('when the response cannot be watched', async () => {
      const lockAll: Koa.Middleware = (ctx, next) => {
        lock(ctx.res);
        return next();
      };
      await serve(lockAll, koaMiddleware({ profiler }), (ctx) => void (ctx.body = 'found'));
      await expectAnswers({ '/found': '200 found' });
    });
  });

  describe('in Fastify', () => {
    const serve = async (hook: (request: FastifyRequest, reply: FastifyReply) => void): Promise<void> => {
      const root = Fastify();
      root.addHook('onRequest', (request, reply, done) => {
        hook(request, reply);
        done();
      });
      await root.register(profilerPlugin, { profiler });
      root.get('/found', () => 'found');
      await root.ready();
      app = await listen((req, res) => void root.routing(req, res));
    };

    it('when a request does not tell its route', async () => {
      await serve((request) => void Object.defineProperty(request, 'routeOptions', { get: fail }));
      await expectAnswers({ '/found': '200 found' });
    });

    it('when the response cannot be watched', async () => {
      await serve((_request, reply) => lock(reply.raw));
      await expectAnswers({ '/found': '200 found' });
    });
  });

  it('when the route of a request cannot be told at its end, however it ends', async () => {
    app = await listen((req, res) => {
      profiler.beginRequest(req, res, fail);
      if (req.url !== '/hangs') res.end('found');
    });
    await expectAnswers({ '/found': '200 found' });
    const { socket, closed } = open(app.port);
    // Nothing is emitted on the second one's response: that its client is gone is noticed within seconds.
    socket.write(request('GET /hangs').repeat(2));
    await sleep(100);
    socket.destroy();
    await closed;
    await sleep(2500);
    await expectAnswers({ '/found': '200 found' });
  });
});
