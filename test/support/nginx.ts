/** A real nginx in front of an app. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { toolPath } from './tools.js';

export interface Nginx {
  /** One per server, in the order given. */
  ports: number[];
  stop(): Promise<void>;
}

/** Starts nginx with one server per list of directives, each on a free port of this machine, `location /` around them. */
export async function startNginx(servers: readonly string[]): Promise<Nginx> {
  const room = mkdtempSync(join(tmpdir(), 'loopprof-nginx-'));
  const ports = await freePorts(servers.length);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${room}/${name};`)
    .join('\n');
  writeFileSync(
    join(room, 'nginx.conf'),
    `daemon off; pid ${room}/pid; error_log ${room}/error.log; worker_processes 1;
    events { worker_connections 64; }
    http { access_log off; ${temporary}
      ${servers.map((directives, index) => `server { listen 127.0.0.1:${ports[index]}; location / { ${directives} } }`).join('\n')}
    }`,
  );
  const child = spawn(toolPath('nginx') as string, ['-p', room, '-c', join(room, 'nginx.conf')], {
    stdio: 'ignore',
  });
  const ended = once(child, 'exit');
  for (const port of ports) {
    for (let attempt = 0; !(await accepts(port)); attempt++) {
      if (attempt > 200 || child.exitCode !== null) {
        child.kill('SIGKILL');
        throw new Error(`nginx did not start: ${readFileSync(join(room, 'error.log'), 'utf8')}`);
      }
      await sleep(25);
    }
  }
  return {
    ports,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
      rmSync(room, { recursive: true, force: true });
    },
  };
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const settle = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
  });
}
