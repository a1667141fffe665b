// Hands an Express app a request that was made by hand, without a socket, and stays at it past the look for connections that are
// gone; prints how many requests are in flight then.
const { EventEmitter } = require('node:events');
const { ServerResponse } = require('node:http');
const express = require('express');
const { Profiler } = require('@loopprof/core');
const { profilingMiddleware } = require('@loopprof/express');

const profiler = new Profiler({
  httpAddr: 'localhost:0',
  enableCPU: false,
  enableMemory: false,
  writeOnStop: false,
});
profiler.start().then(() => {
  const app = express();
  app.use(profilingMiddleware({ profiler }));
  app.get('/hang', () => {});
  const req = Object.assign(new EventEmitter(), {
    url: '/hang',
    method: 'GET',
    headers: {},
    httpVersionMajor: 1,
  });
  app(req, new ServerResponse(req));
  setTimeout(async () => {
    const { inFlightCount } = await (await fetch(`${profiler.address}requests`)).json();
    console.log(inFlightCount);
    process.exit();
  }, 2500);
});
