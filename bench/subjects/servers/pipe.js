// Passes the stream on unchanged: the least that Node needs.
import { createServer } from 'node:http'
import { Agent, stream } from 'undici'

const dispatcher = new Agent()

createServer((request, response) => {
  if (request.url === '/health') return response.end('ok')
  stream(`${process.env.UPSTREAM}/v1/chat/completions`, {
    dispatcher,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: request
  }, ({ statusCode, headers }) => response.writeHead(statusCode, { 'content-type': headers['content-type'] }))
    .catch(() => response.destroy())
}).listen(Number(process.env.PORT), '127.0.0.1')
