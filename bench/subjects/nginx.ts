import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hasProgram } from '../machine.js'
import { findFreePort } from '../process.js'
import { completion, post, startServer, type Subject } from './subject.js'

export const nginx: Subject = {
  name: 'nginx',
  title: 'nginx, one worker, unbuffered',
  format: 'openai',
  prepare: async () => hasProgram('nginx') ? undefined : 'it is not installed (apt-get install nginx-light)',
  async start (lab, upstream) {
    const port = await findFreePort()
    const file = join(lab.directory, 'nginx.conf')
    await writeFile(file, configure(lab.directory, port, upstream))
    const server = await startServer(lab, 'nginx', 'nginx', ['-c', file, '-p', lab.directory], { port })
    return { ...server, requests: prompt => ({ requests: [post('/v1/chat/completions', {}, completion(prompt))] }) }
  }
}

function configure (directory: string, port: number, upstream: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(kind => `${kind}_temp_path ${directory}/${kind};`)
  return `
daemon off;
master_process off;
worker_rlimit_nofile 20000;
pid ${directory}/nginx.pid;
error_log ${directory}/nginx.log error;
events { worker_connections 19000; }
http {
  access_log off;
  ${temporary.join('\n  ')}
  upstream gateway {
    server ${new URL(upstream).host};
    keepalive 10000;
    keepalive_requests 1000000;
  }
  server {
    listen 127.0.0.1:${port};
    keepalive_requests 1000000;
    location = /health { return 200 ok; }
    location / {
      proxy_pass http://gateway;
      proxy_http_version 1.1;
      proxy_set_header connection "";
      proxy_buffering off;
    }
  }
}
`
}
