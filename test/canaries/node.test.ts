import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { buildConnector } from 'undici'

// What the service relies on that Node and undici do not document. A test fails if a new version changes it; its name says
// what it is, and which file relies on it.

/** Everything that a server sends for one request, as it arrives on the connection. */
async function exchange (t: Test, request: string, answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createHttpServer(answer).listen(0, '127.0.0.1')
  t.teardown(() => { server.close() })
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.write(request)
  return text(socket)
}

const REQUEST = 'GET / HTTP/1.1\r\nhost: a\r\nauthorization: Bearer a-token\r\nconnection: close\r\n\r\n'

t.test('a response keeps the head that it has sent in `_header`, and goes on where that is another text (http/sse/streams.ts)', async t => {
  const received = await exchange(t, REQUEST, (_request, response) => {
    response.writeHead(200, { 'x-canary': 'a-header' })
    response.flushHeaders()
    const { _header: head } = response as unknown as { _header: unknown }
    t.match(head, /^HTTP\/1\.1 200 OK\r\nx-canary: a-header\r\n/, 'which is worth dropping')
    Object.assign(response, { _header: 'sent' })
    t.equal(response.headersSent, true)
    response.write('one ')
    response.end('two')
  })
  t.match(received, /^HTTP\/1\.1 200 OK\r\nx-canary: a-header\r\n[^]+\r\n\r\n4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n$/)
  t.equal(received.split('HTTP/1.1').length, 2, 'one head')
})

t.test('the headers of a request are gone once `headers` and `rawHeaders` are replaced (http/sse/streams.ts)', async t => {
  await exchange(t, REQUEST, (request, response) => {
    t.equal(request.headers.authorization, 'Bearer a-token')
    request.headers = {}
    request.rawHeaders = []
    t.same(request.headers, {})
    const own = Reflect.ownKeys(request).map(key => Reflect.get(request, key))
    const texts = own.filter(value => Array.isArray(value) || Object.getPrototypeOf(value ?? {}) === Object.prototype || Object.getPrototypeOf(value ?? {}) === null)
      .map(value => JSON.stringify(value))
    t.notMatch(texts.join(), 'a-token', 'nothing of them is kept elsewhere')
    response.end()
  })
})

t.test('`chunkedEncoding` says whether a body is sent in chunks, and chunks may be written to the socket past the response (http/sse/stream.ts)', async t => {
  const answer = (isChunked: boolean) => (_request: IncomingMessage, response: ServerResponse) => {
    response.writeHead(200)
    response.flushHeaders()
    t.equal(response.chunkedEncoding, isChunked)
    if (isChunked) response.socket!.write('5\r\nhello\r\n')
    response.end(' you')
  }
  t.match(await exchange(t, REQUEST, answer(true)), /\r\n\r\n5\r\nhello\r\n4\r\n you\r\n0\r\n\r\n$/)
  t.match(await exchange(t, REQUEST.replace('HTTP/1.1', 'HTTP/1.0'), answer(false)), /\r\n\r\n you$/)
})

t.test('undici passes `onread` on to net.connect, and the socket reads into that buffer (executor/gateway/http/client.ts)', async t => {
  const server = createServer(socket => { socket.end('hello') }).listen(0, '127.0.0.1')
  t.teardown(() => { server.close() })
  await once(server, 'listening')
  const buffer = Buffer.alloc(64)
  const read: Array<[Socket, number, Uint8Array]> = []
  const onread = { buffer, callback (this: Socket, size: number, bytes: Uint8Array) { return read.push([this, size, bytes]) > 0 } }
  const connector = buildConnector({ timeout: 1000, onread } as buildConnector.BuildOptions)
  const { port } = server.address() as AddressInfo
  const socket = await new Promise<Socket>((resolve, reject) => {
    connector({ protocol: 'http:', hostname: '127.0.0.1', host: `127.0.0.1:${port}`, port: String(port) } as never,
      (error, socket) => { if (error) reject(error); else resolve(socket as Socket) })
  })
  t.ok(socket.listeners('error').length > 0, 'undici leaves its own listener, which executor/gateway/http/connection.ts removes')
  await once(socket, 'close')
  t.equal(read.length, 1)
  const [self, size, bytes] = read[0]!
  t.equal(self, socket)
  t.equal(bytes.buffer, buffer.buffer)
  t.equal(buffer.toString('utf8', 0, size), 'hello')
})

t.test('undici\'s connector returns its socket before that is connected (executor/gateway/http/client.ts)', async t => {
  const server = createServer(socket => { socket.end() }).listen(0, '127.0.0.1')
  t.teardown(() => { server.close() })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const connector = buildConnector({ timeout: 1000 }) as (target: object, callback: (error: Error | null, socket: Socket) => void) => Socket
  let returned: Socket | undefined
  const connected = await new Promise<Socket>(resolve => {
    returned = connector({ protocol: 'http:', hostname: '127.0.0.1', host: 'a', port: String(port) }, (_error, socket) => resolve(socket))
    t.equal(returned.connecting, true)
  })
  t.equal(connected, returned)
  connected.destroy()
})

t.test('sockets are polled between two immediates (executor/gateway/http/connection.ts)', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  t.teardown(() => { server.close() })
  const { port } = (await once(server, 'listening') && server.address()) as AddressInfo
  const socket = connect(port, '127.0.0.1')
  const [peer] = await once(server, 'connection') as [Socket]
  await once(socket, 'connect')
  t.teardown(() => { socket.destroy() })
  let isRead = false
  socket.once('data', () => { isRead = true })
  await new Promise<void>(resolve => {
    setImmediate(() => {
      peer.write('x')
      // Until the kernel has delivered it, with the event loop standing still.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
      setImmediate(resolve)
    })
  })
  t.equal(isRead, true)
})

t.test('V8 knows the flags that are set while the process runs, and takes them without a word (process/collector.ts)', async t => {
  const run = promisify(execFile)
  const { stdout: options } = await run(process.execPath, ['--v8-options'])
  for (const flag of ['heap-growing-percent', 'concurrent-marking']) t.match(options, new RegExp(`^ *--(\\[no-\\])?${flag} `, 'm'), flag)
  const script = 'const v8 = require("node:v8"); v8.setFlagsFromString("--heap-growing-percent=77"); v8.setFlagsFromString("--no-concurrent-marking")'
  t.same(await run(process.execPath, ['--eval', script]), { stdout: '', stderr: '' })
})

t.test('an entry of the collector names a major collection in `detail.kind` (process/collector.ts)', async t => {
  const script = `
    const { constants, PerformanceObserver } = require('node:perf_hooks')
    new PerformanceObserver(list => {
      if (list.getEntries().some(({ detail }) => detail?.kind === constants.NODE_PERFORMANCE_GC_MAJOR)) process.exit(7)
    }).observe({ entryTypes: ['gc'] })
    gc()
    setTimeout(() => {}, 10_000)`
  const exit = await promisify(execFile)(process.execPath, ['--expose-gc', '--eval', script]).then(() => 0, ({ code }) => code)
  t.equal(exit, 7)
})
