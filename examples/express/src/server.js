'use strict';

const app = require('./app');

const port = Number(process.env.PORT ?? 3000);

const server = app.listen(port, (error) => {
  if (error) throw error;
  console.log(`listening on http://localhost:${server.address().port}`);
});
