// Asks a Fastify app by inject(), as the app's own tests would; prints the status.
const fastify = require('fastify')();
const { profilerPlugin } = require('@loopprof/fastify');

(async () => {
  await fastify.register(profilerPlugin, { access: 'loopback' });
  const { statusCode } = await fastify.inject({
    url: '/debug/pprof/requests',
    headers: { host: 'localhost' },
  });
  console.log(statusCode);
})();
