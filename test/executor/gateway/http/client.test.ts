import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect as connectSocket, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type ClientOptions, HttpClient } from '../../../../src/executor/gateway/http/client.js'
import { Connection } from '../../../../src/executor/gateway/http/connection.js'
import { Exchange, type ResponseHandler, SilenceTimeoutError } from '../../../../src/executor/gateway/http/exchange.js'
import { ReadWindow } from '../../../../src/executor/gateway/http/read-window.js'
import type { ResponseHead } from '../../../../src/executor/gateway/http/response-head.js'
import { leaveOut } from '../../../support/doubles/programs.js'

const OK = 'HTTP/1.1 200 OK\r\n'
const CHUNKED = `${OK}transfer-encoding: chunked\r\n\r\n`
/** Longer than any test. */
const FOR_EVER = 600_000
const say = (text: string) => `${OK}content-length: ${text.length}\r\n\r\n${text}`

/** The server's side of a connection. */
class Peer {
  #text = ''
  readonly closed: Promise<unknown>

  constructor (readonly socket: Socket) {
    this.closed = new Promise(resolve => socket.on('close', resolve))
    socket.on('error', () => {}).setEncoding('latin1').on('data', text => {
      this.#text += text
      socket.emit('received')
    })
  }

  /** Received bytes that belong to no request returned so far. */
  get untaken (): string { return this.#text }

  /** The next complete request. */
  async request (): Promise<{ head: string, body: string }> {
    for (;;) {
      const at = this.#text.indexOf('\r\n\r\n')
      const end = at + 4 + Number(/content-length: (\d+)/.exec(this.#text)?.[1])
      if (at !== -1 && this.#text.length >= end) {
        const request = { head: this.#text.slice(0, at), body: Buffer.from(this.#text.slice(at + 4, end), 'latin1').toString() }
        this.#text = this.#text.slice(end)
        return request
      }
      await once(this.socket, 'received')
    }
  }

  async answer (text: string): Promise<{ head: string, body: string }> {
    const request = await this.request()
    this.socket.write(text, 'latin1')
    return request
  }
}

interface Peers { url: string, all: Peer[], next (): Promise<Peer> }

/** A server that sends only what the test tells it to. */
async function listen (t: Test, host = '127.0.0.1'): Promise<Peers> {
  const all: Peer[] = []
  let taken = 0
  const server = createServer(socket => {
    all.push(new Peer(socket))
    server.emit('peer')
  })
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${await portOf(t, server, host)}/v1/chat?a=b`
  t.teardown(() => { for (const { socket } of all) socket.destroy() })
  return {
    url,
    all,
    async next () {
      const index = taken++
      while (all.length <= index) await once(server, 'peer')
      return all[index]!
    }
  }
}

async function portOf (t: Test, server: Server, host = '127.0.0.1'): Promise<number> {
  server.listen(0, host)
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  return (server.address() as AddressInfo).port
}

function connect (t: Test, url: string, options: Partial<ClientOptions> = {}): HttpClient {
  const client = new HttpClient(url, { headers: { authorization: 'Bearer key' }, connectTimeout: 10_000, silenceTimeout: 60_000, idleTimeout: 60_000, ...options })
  t.teardown(() => client.close())
  return client
}

/** Records the calls of a handler. */
class Recorder implements ResponseHandler {
  head?: ResponseHead
  body = ''
  calls: string[] = []
  batches = 0
  error?: any
  #settle!: () => void
  readonly settled = new Promise<this>(resolve => { this.#settle = () => resolve(this) })

  constructor (private readonly react: (event: string) => void = () => {}) {}

  #record (event: string): void {
    this.calls.push(event)
    this.react(event)
  }

  onHead (head: ResponseHead): void {
    this.head = head
    this.#record('head')
  }

  onBody (bytes: Buffer, _: string, from: number, to: number): void {
    this.body += bytes.toString('latin1', from, to)
    this.#record('body')
  }

  /** Not in `calls`: the end of a response may arrive in the same turn of the event loop as its last part, or in a later one. */
  onReadsDone (): boolean {
    this.batches++
    this.react('reads done')
    return true
  }

  onEnd (): void {
    this.#settle()
    this.#record('end')
  }

  onError (error: Error): void {
    this.error = error
    this.#settle()
    this.#record('error')
  }
}

function ask (client: HttpClient, body = '{}', react?: (event: string) => void) {
  const recorder = new Recorder(react)
  const exchange = client.post(body, recorder)
  return { recorder, abort: () => exchange.abort(), settled: recorder.settled }
}

t.test('a request has headers, its length in bytes, and a body', async t => {
  for (const host of ['127.0.0.1', '::1']) {
    const peers = await listen(t, host)
    const { settled } = ask(connect(t, peers.url), '{"text":"a€😀"}')
    const { head, body } = await (await peers.next()).answer(say('Hello'))
    t.strictSame(head.split('\r\n'), ['POST /v1/chat?a=b HTTP/1.1', `host: ${new URL(peers.url).host}`, 'connection: keep-alive', 'accept-encoding: identity', 'authorization: Bearer key', 'content-length: 19'])
    t.equal(body, '{"text":"a€😀"}')
    t.match(await settled, { head: { status: 200 }, body: 'Hello', calls: ['head', 'body', 'end'] })
  }
})

t.test('invalid headers and URLs are refused', async t => {
  for (const headers of [{ authorization: 'Bearer a\r\nx-evil: 1' }, { authorization: 'Bearer a\n' }, { authorization: 'Bearer \0' }, { authorization: 'Bearer é' }, { 'a b': 'c' }]) {
    t.throws(() => connect(t, 'http://127.0.0.1/', { headers: headers as unknown as Record<string, string> }), TypeError)
  }
  t.throws(() => connect(t, 'no URL'), TypeError)
})

t.test('a connection', async t => {
  const peers = await listen(t)
  const client = connect(t, peers.url)
  const first = ask(client)
  const peer = await peers.next()
  await peer.answer(say('one'))
  await first.settled

  await t.test('is reused', async t => {
    const { settled } = ask(client)
    await peer.answer(`${CHUNKED}3\r\ntwo\r\n0\r\n\r\n`)
    t.match(await settled, { body: 'two', error: undefined })
    t.equal(peers.all.length, 1)
  })

  await t.test('is reused by a request that is sent when another response ends', async t => {
    let second: ReturnType<typeof ask> | undefined
    ask(client, '1', event => { if (event === 'end') second = ask(client, '2') })
    await peer.answer(say('three'))
    t.equal((await peer.answer(say('four'))).body, '2')
    t.match(await second!.settled, { body: 'four' })
    t.equal(peers.all.length, 1)
  })

  await t.test('is not shared: concurrent requests use other connections, and their responses are kept apart', async t => {
    const asked = Array.from({ length: 8 }, (_, index) => ask(client, String(index)))
    const others = await Promise.all(asked.slice(1).map(() => peers.next()))
    const bodies = await Promise.all([peer, ...others].map(async peer => ({ peer, body: (await peer.request()).body })))
    for (const { peer } of bodies) peer.socket.write(CHUNKED)
    for (let round = 0; round < 50; round++) for (const { peer, body } of bodies) peer.socket.write(`5\r\n${body.repeat(5)}\r\n`)
    for (const { peer } of bodies) peer.socket.write('0\r\n\r\n')
    for (const [index, { settled }] of asked.entries()) t.match(await settled, { body: String(index).repeat(250), error: undefined })
    const again = Array.from({ length: 8 }, () => ask(client))
    for (const { peer } of bodies) await peer.answer(say('again'))
    for (const { settled } of again) t.match(await settled, { body: 'again' })
    t.equal(peers.all.length, 8)
  })
})

t.test('an idle connection that the server closes, resets or writes to is replaced transparently', async t => {
  const ways: Array<[string, (socket: Socket) => void]> = [
    ['ends', socket => socket.destroy()],
    ['resets', socket => socket.resetAndDestroy()],
    ['speaks', socket => socket.write(say('an answer to nothing'))],
    ['speaks and ends', socket => socket.end('HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')]
  ]
  for (const [name, end] of ways) {
    const peers = await listen(t)
    const client = connect(t, peers.url)
    const first = ask(client)
    const peer = await peers.next()
    await peer.answer(say('one'))
    await first.settled
    end(peer.socket)
    const { settled } = ask(client)
    const other = await peers.next()
    await other.answer(say('two'))
    t.match(await settled, { body: 'two', calls: ['head', 'body', 'end'] }, name)
    await peer.closed
    t.equal(peer.untaken, '', 'nothing was sent on the first connection')
  }
})

t.test('a request that was sent is not repeated when its connection is closed', async t => {
  const peers = await listen(t)
  const client = connect(t, peers.url)
  for (const end of [(socket: Socket) => socket.end(), (socket: Socket) => socket.resetAndDestroy()]) {
    const first = ask(client)
    const peer = await peers.next()
    await peer.answer(say('one'))
    await first.settled
    const second = ask(client)
    await peer.request()
    end(peer.socket)
    t.match(await second.settled, { calls: ['error'], error: Error })
  }
  t.equal(peers.all.length, 2)
})

t.test('a truncated response is an error, after its content', async t => {
  const peers = await listen(t)
  const client = connect(t, peers.url)
  const cases: Array<[string, string[], string]> = [
    ['', ['error'], ''], ['HTTP/1.1 2', ['error'], ''], [`${OK}a: b\r\n`, ['error'], ''],
    [`${OK}content-length: 5\r\n\r\nHel`, ['head', 'body', 'error'], 'Hel'], [CHUNKED, ['head', 'error'], ''],
    [`${CHUNKED}5\r\nHel`, ['head', 'body', 'error'], 'Hel'], [`${CHUNKED}3\r\nHel\r\n`, ['head', 'body', 'error'], 'Hel'],
    [`${CHUNKED}3\r\nHel\r\n0\r\n`, ['head', 'body', 'error'], 'Hel'], [`${CHUNKED}3\r\nHel\r\nx`, ['head', 'body', 'error'], 'Hel'],
    ['SSH-2.0-OpenSSH\r\n', ['error'], ''], [`${OK}\r\nHel`, ['head', 'body', 'end'], 'Hel']
  ]
  for (const [text, calls, body] of cases) {
    const { settled } = ask(client)
    const peer = await peers.next()
    await peer.request()
    peer.socket.end(text)
    t.match(await settled, { calls, body }, text)
    await peer.closed
  }
})

t.test('a connection is not reused', async t => {
  const cases: Array<[string, string]> = [
    ['if the server says so', `${OK}connection: close\r\ncontent-length: 1\r\n\r\na`],
    ['after a response of HTTP/1.0', 'HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na'],
    ['if the server closes it at once', `${OK}keep-alive: timeout=1\r\ncontent-length: 1\r\n\r\na`],
    ['if bytes follow the response', `${say('a')}\r\n`]
  ]
  for (const [name, text] of cases) {
    const peers = await listen(t)
    const client = connect(t, peers.url)
    const { settled } = ask(client)
    const peer = await peers.next()
    await peer.answer(text)
    t.match(await settled, { body: 'a', calls: ['head', 'body', 'end'] }, name)
    await peer.closed
  }
  await t.test('after the idle timeout', async t => {
    const peers = await listen(t)
    const { settled } = ask(connect(t, peers.url, { idleTimeout: 20 }))
    const peer = await peers.next()
    await peer.answer(say('a'))
    await settled
    await peer.closed
  })
})

t.test('a refusal that arrives before the whole request was sent is a response, and ends the connection', async t => {
  for (const line of ['', 'connection: close\r\n']) {
    const peers = await listen(t)
    const { settled } = ask(connect(t, peers.url), 'x'.repeat(32 * 1024 * 1024))
    const peer = await peers.next()
    await once(peer.socket, 'received')
    peer.socket.pause().write(`HTTP/1.1 413 Too Large\r\n${line}content-length: 3\r\n\r\nbig`)
    t.match(await settled, { head: { status: 413 }, body: 'big', error: undefined })
    peer.socket.resume()
    await peer.closed
  }
})

t.test('aborting closes the connection, and the handler is not called again', async t => {
  const peers = await listen(t)
  const client = connect(t, peers.url)

  await t.test('while it connects', async t => {
    const { recorder, abort } = ask(client)
    abort()
    const { settled } = ask(client, 'next')
    let peer = await peers.next()
    // The first connection may or may not have reached the server.
    if (await Promise.race([peer.request(), peer.closed.then(() => undefined)]) === undefined) peer = await peers.next()
    peer.socket.write(`${OK}connection: close\r\ncontent-length: 0\r\n\r\n`)
    await settled
    t.strictSame(recorder.calls, [])
    t.ok(peers.all.length <= 2)
  })

  await t.test('while it waits', async t => {
    const { recorder, abort } = ask(client)
    const peer = await peers.next()
    await peer.request()
    abort()
    await peer.closed
    t.strictSame(recorder.calls, [])
  })

  await t.test('in the middle of a read', async t => {
    for (const stage of ['head', 'body', 'reads done']) {
      let abort = () => {}
      const asked = ask(client, '{}', event => { if (event === stage) abort() })
      abort = asked.abort
      const peer = await peers.next()
      await peer.answer(`${CHUNKED}1\r\na\r\n1\r\nb\r\n`)
      await peer.closed
      t.strictSame(asked.recorder.calls, { head: ['head'], body: ['head', 'body'], 'reads done': ['head', 'body', 'body'] }[stage], stage)
    }
  })

  await t.test('before the request was sent on a reused connection, and after that connection was replaced', async t => {
    const first = ask(client)
    const peer = await peers.next()
    await peer.answer(say('a'))
    await first.settled
    const unsent = ask(client)
    unsent.abort()
    await peer.closed
    t.equal(peer.untaken, '')
    t.strictSame(unsent.recorder.calls, [])

    const second = ask(client)
    const stale = await peers.next()
    await stale.answer(say('a'))
    await second.settled
    stale.socket.destroy()
    const { recorder, abort } = ask(client)
    const replaced = await peers.next()
    await replaced.request()
    abort()
    await replaced.closed
    t.strictSame(recorder.calls, [])
  })

  await t.test('but not after its end, when another exchange uses the connection', async t => {
    const { settled, abort } = ask(client)
    const peer = await peers.next()
    await peer.answer(say('a'))
    await settled
    const other = ask(client)
    await peer.request()
    abort()
    peer.socket.write(say('b'))
    t.match(await other.settled, { body: 'b', error: undefined })
  })
})

t.test('an error that a handler throws fails its own exchange, and closes the connection', async t => {
  const peers = await listen(t)
  const client = connect(t, peers.url)
  for (const stage of ['head', 'body', 'reads done', 'end']) {
    const mistake = new Error(stage)
    const { settled, recorder } = ask(client, '{}', event => { if (event === stage) throw mistake })
    const peer = await peers.next()
    await peer.answer(`${OK}connection: close\r\ncontent-length: ${stage === 'reads done' ? 2 : 1}\r\n\r\na`)
    await peer.closed
    t.equal((await settled).error, mistake)
    t.equal(recorder.calls.at(-1), 'error')
  }
})

t.test('onReadsDone is called once for all reads of a turn of the event loop', async t => {
  const read: Connection[] = []
  const connection = new Connection(1_000, { read: connection => { read.push(connection) }, idle () {}, closed () {}, unsent () {} })
  const peers = await listen(t)
  const { port, hostname } = new URL(peers.url)
  const socket = connectSocket(Number(port), hostname)
  const recorder = new Recorder()
  connection.send(new Exchange('POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n', recorder))
  connection.attach(socket)
  await once(socket, 'connect')
  connection.onConnected(null)
  for (const turn of [1, 2]) {
    for (const bytes of turn === 1 ? [CHUNKED, '1\r\na\r\n'] : ['1\r\nb\r\n', '1\r\nc\r\n']) connection.read(Buffer.from(bytes))
    t.strictSame(read.splice(0), [connection])
    t.equal(recorder.batches, turn - 1)
    t.equal(connection.finishReads(), true)
    t.equal(recorder.batches, turn)
  }
  connection.read(Buffer.from('0\r\n\r\n'))
  t.strictSame(recorder.calls, ['head', 'body', 'body', 'body', 'end'])
  t.strictSame(read, [], 'an end is reported at once')
  t.equal(connection.finishReads(), false)
})

t.test('a connection with a read window', async t => {
  const WINDOW = 500
  const pieces = async (t: Test) => {
    const peers = await listen(t)
    const client = connect(t, peers.url, { window: new ReadWindow(WINDOW, { isHigh: () => true }) })
    let wake = () => {}
    const asked = ask(client, '{}', event => { if (event === 'reads done') wake() })
    const peer = await peers.next()
    await peer.request()
    const deliver = (text: string) => new Promise<void>(resolve => {
      wake = () => { if (asked.recorder.body.endsWith(text)) resolve() }
      peer.socket.write(`1\r\n${text}\r\n`)
    })
    peer.socket.write(CHUNKED)
    await deliver('a')
    const second = performance.now()
    await deliver('b')
    return { ...asked, client, peer, deliver, second }
  }

  await t.test('is read at once at first, and then paused, after which all is reported together', async t => {
    const { deliver, second, peer, recorder, settled } = await pieces(t)
    const batches = recorder.batches
    for (const text of 'cdefg') peer.socket.write(`1\r\n${text}\r\n`)
    await deliver('h')
    const waited = performance.now() - second
    t.ok(waited >= WINDOW * 7 / 8 - 1, `${waited} ms`)
    t.equal(recorder.batches, batches + 1)
    peer.socket.write('0\r\n\r\n')
    await settled
    t.equal(recorder.body, 'abcdefgh')
  })

  await t.test('reports its end or break after the pause, and after the content', async t => {
    for (const end of [(socket: Socket) => socket.end('1\r\nc\r\n'), (socket: Socket) => socket.write('1\r\nc\r\n', () => socket.resetAndDestroy())]) {
      const { peer, recorder, settled } = await pieces(t)
      end(peer.socket)
      await settled
      t.ok(recorder.error)
      t.match(recorder.body, /^abc?$/)
      if (end.toString().includes('end')) t.equal(recorder.body, 'abc', 'the kernel may discard data that a reset follows')
    }
  })

  await t.test('ends if its client is closed during the pause, and leaves no timer', async t => {
    const timers = () => process.getActiveResourcesInfo().filter(kind => kind === 'Timeout').length
    const before = timers()
    const { client, peer, settled } = await pieces(t)
    t.equal(timers(), before + 1)
    client.close()
    t.equal(timers(), before)
    await peer.closed
    t.ok((await settled).error)
  })

  await t.test('ends if it is aborted during the pause', async t => {
    const { abort, peer, recorder } = await pieces(t)
    abort()
    await peer.closed
    t.notOk(recorder.calls.includes('error'))
  })

  await t.test('starts a new window for each request', async t => {
    const peers = await listen(t)
    const client = connect(t, peers.url, { window: new ReadWindow(FOR_EVER, { isHigh: () => true }) })
    let peer: Peer | undefined
    for (let request = 0; request < 3; request++) {
      let wake = () => {}
      const delivered = new Promise<void>(resolve => { wake = resolve })
      const { settled } = ask(client, '{}', event => { if (event === 'reads done') wake() })
      peer ??= await peers.next()
      await peer.answer(`${CHUNKED}1\r\na\r\n`)
      await delivered
      peer.socket.write('0\r\n\r\n')
      t.equal((await settled).error, undefined)
    }
  })
})

t.test('an error of one handler in onReadsDone does not affect the others', async t => {
  const peers = await listen(t)
  const client = connect(t, peers.url)
  const mistake = new Error('no room')
  const batches: string[] = []
  const asked = ['first', 'second'].map(name => ask(client, '{}', event => {
    if (event !== 'reads done') return
    batches.push(name)
    if (name === 'first') throw mistake
  }))
  const [one, other] = [await peers.next(), await peers.next()]
  // Both parts have arrived when the client polls its sockets next.
  await Promise.all([one.request(), other.request()])
  for (const { socket } of [one, other]) socket.write(`${CHUNKED}1\r\na\r\n`)
  t.equal((await asked[0]!.settled).error, mistake)
  other.socket.write('0\r\n\r\n')
  t.equal((await asked[1]!.settled).error, undefined)
  t.ok(batches.includes('second'))
})

t.test('the silence timeout', async t => {
  await t.test('fails an exchange, before its head and after', async t => {
    const peers = await listen(t)
    const client = connect(t, peers.url, { silenceTimeout: 20 })
    for (const text of ['', `${CHUNKED}1\r\na\r\n`]) {
      const { settled } = ask(client)
      const peer = await peers.next()
      await peer.answer(text)
      t.match(await settled, { body: text && 'a', error: SilenceTimeoutError })
      await peer.closed
    }
  })

  await t.test('has its exact length, and starts with the last read', async t => {
    const peers = await listen(t)
    const recorder = new Recorder()
    const connection = new Connection(1_000, { read () {}, idle () {}, closed () {}, unsent () {} })
    const { port, hostname } = new URL(peers.url)
    const socket = connectSocket(Number(port), hostname)
    connection.send(new Exchange('POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n', recorder))
    connection.attach(socket)
    const connected = once(socket, 'connect')
    const turn = () => new Promise(resolve => { setImmediate(resolve) })
    connection.checkTimeouts(performance.now() + 10_000, 1_000)
    await turn()
    t.strictSame(recorder.calls, [], 'connecting has its own timeout')
    await connected
    const before = performance.now()
    connection.onConnected(null)
    const after = performance.now()
    for (const [now, bytes] of [[before + 999, CHUNKED], [after + 1_000, '']] as const) {
      connection.checkTimeouts(now, 1_000)
      if (bytes) connection.read(Buffer.from(bytes))
      await turn()
      t.strictSame(recorder.calls, ['head'])
      // The first check after a read notices it, and the timeout starts then.
      connection.checkTimeouts(now + 1, 1_000)
      await turn()
    }
    connection.checkTimeouts(before + 1_999, 1_000)
    await turn()
    t.equal(recorder.error, undefined)
    connection.checkTimeouts(after + 2_001, 1_000)
    connection.read(Buffer.from('1\r\na\r\n'))
    await turn()
    t.equal(recorder.error, undefined, 'bytes of the same turn of the event loop count')
    connection.checkTimeouts(after + 2_002, 1_000)
    connection.pause()
    connection.checkTimeouts(after + 3_002, 1_000)
    await turn()
    t.equal(recorder.error, undefined, 'a paused connection is not silent')
    connection.resume()
    connection.checkTimeouts(after + 4_001, 1_000)
    await turn()
    t.equal(recorder.error, undefined)
    connection.checkTimeouts(after + 4_002, 1_000)
    await turn()
    t.match(recorder.error, SilenceTimeoutError)
  })
})

t.test('a connection that cannot be opened is an error', async t => {
  const closed = createServer()
  const port = await portOf(t, closed)
  closed.close()
  await once(closed, 'close')
  t.match(await ask(connect(t, `http://127.0.0.1:${port}/`)).settled, { calls: ['error'], error: { code: 'ECONNREFUSED' } }, 'refused')
  const { url } = await listen(t)
  const silent = connect(t, url.replace('http', 'https'), { connectTimeout: 100 })
  t.match(await ask(silent).settled, { calls: ['error'], error: { name: 'ConnectTimeoutError' } }, 'a TLS handshake without an end')
  const peers = await listen(t)
  const { settled } = ask(connect(t, peers.url.replace('http', 'https')))
  const peer = await peers.next()
  await once(peer.socket, 'received')
  peer.socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')
  t.match(await settled, { calls: ['error'], error: { code: /SSL|EPROTO/ } }, 'no TLS')
})

t.test('closing the client closes all connections, and fails pending exchanges', async t => {
  const peers = await listen(t)
  const client = connect(t, peers.url)
  const [idle, waiting] = [ask(client), ask(client)]
  const [first, second] = [await peers.next(), await peers.next()]
  await Promise.all([first.request(), second.request()])
  first.socket.write(say('a'))
  await Promise.race([idle.settled, waiting.settled])
  const again: Array<ReturnType<typeof ask>> = []
  const unsent = ask(client)
  const connecting = ask(client, '{}', () => again.push(ask(client)))
  client.close()
  await Promise.all([first.closed, second.closed])
  for (const { settled } of [unsent, connecting, ask(client), ...again]) t.match(await settled, { calls: ['error'], error: /client was closed/ })
  const outcomes = [(await idle.settled).calls.at(-1), (await waiting.settled).calls.at(-1)].sort()
  t.strictSame(outcomes, ['end', 'error'])
  const { abort, recorder } = ask(client)
  abort()
  await ask(client).settled
  t.strictSame(recorder.calls, [])
})

t.test('https works with a CA of NODE_EXTRA_CA_CERTS, and an idle client does not keep its process alive', async t => {
  const directory = t.testdir({ 'names.txt': 'subjectAltName = IP:127.0.0.1' })
  const [key, certificate] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
  try {
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
      '-subj', '/CN=gateway', '-addext', 'subjectAltName = IP:127.0.0.1', '-keyout', key, '-out', certificate], { stdio: 'pipe' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return leaveOut(t, 'openssl')
    throw error
  }
  let connections = 0
  const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(certificate), keepAliveTimeout: 600_000 }, async (request, response) => {
    for await (const chunk of request) response.write(chunk)
    response.end()
  }).on('secureConnection', () => connections++)
  const url = `https://127.0.0.1:${await portOf(t, server)}/`
  t.teardown(() => server.closeAllConnections())
  t.match(await ask(connect(t, url)).settled, { calls: ['error'], error: { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' } }, 'the certificate is not trusted otherwise')
  connections = 0
  const script = `
    import { HttpClient } from ${JSON.stringify(new URL('../../../../src/executor/gateway/http/client.ts', import.meta.url).href)}
    import { ReadWindow } from ${JSON.stringify(new URL('../../../../src/executor/gateway/http/read-window.ts', import.meta.url).href)}
    const window = new ReadWindow(5, { isHigh: () => true })
    const client = new HttpClient(${JSON.stringify(url)}, { headers: {}, connectTimeout: 10000, silenceTimeout: 60000, idleTimeout: 600000, window })
    const echo = body => new Promise((resolve, reject) => {
      let echoed = ''
      client.post(body, { onHead () {}, onBody (bytes, text, from, to) { echoed += bytes.toString('latin1', from, to) }, onReadsDone: () => true, onEnd: () => resolve(echoed), onError: reject })
    })
    for (const body of ['a', 'bc'.repeat(1e6), 'd']) if (await echo(body) !== body) throw new Error('it is not the same')
    process.stdout.write('done')`
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], { env: { ...process.env, NODE_EXTRA_CA_CERTS: certificate }, stdio: ['ignore', 'pipe', 'inherit'], timeout: 60_000 })
  let output = ''
  child.stdout.on('data', data => { output += data })
  t.strictSame(await once(child, 'close'), [0, null])
  t.equal(output, 'done')
  t.equal(connections, 1)
})
