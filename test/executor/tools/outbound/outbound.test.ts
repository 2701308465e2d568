import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import t from 'tap'
import { Outbound } from '../../../../src/executor/tools/outbound/outbound.js'
import { failureOf, openOutbound, respond, startServer } from '../../../support/tools.js'

const { signal } = new AbortController()
const NOT_PUBLIC = /is not at a public address/

t.test('asks and answers', async t => {
  const server = await startServer(t, respond(201, { ok: 1 }, { 'x-other': 'y' }))
  const answer = await openOutbound(t).request({ url: `${server.url}/a?b=c`, method: 'post', headers: { 'X-Key': 'v' }, body: '{"a":"ü"}' }, signal)
  t.match(answer, { status: 201, host: '127.0.0.1', headers: { 'x-other': 'y' } })
  t.equal(answer.body.toString(), '{"ok":1}')
  t.match(server.requests, [{ method: 'POST', url: '/a?b=c', headers: { 'x-key': 'v' }, body: '{"a":"ü"}' }])
})

t.test('without an exception nothing on this machine or its networks is reached, however it is written', async t => {
  const server = await startServer(t, respond(200))
  const outbound = openOutbound(t, {})
  const { port } = server
  const hosts = [
    '127.0.0.1', 'localhost', '2130706433', '0x7f000001', '0x7f.1', '0177.0.0.1', '127.1', '127.0.0.1.', '0', '0.0.0.0',
    '[::1]', '[::]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[::127.0.0.1]', '[64:ff9b::7f00:1]', '[2002:7f00:1::1]', '[fe80::1]', '[fd00::1]',
    '169.254.169.254', '10.0.0.1', '192.168.1.1', '172.16.0.1', '100.64.0.1', '①②⑦.0.0.1'
  ]
  for (const host of hosts) {
    const failure = await failureOf(outbound.request({ url: `http://${host}:${port}/` }, signal))
    t.match(failure, NOT_PUBLIC, host)
  }
  t.equal(server.requests.length, 0)
})

t.test('a name is judged by its addresses', async t => {
  const server = await startServer(t, respond(200))
  const names: string[] = []
  const lookup = (addresses: string[]) => async (name: string) => {
    names.push(name)
    return addresses.map(address => ({ address, family: address.includes(':') ? 6 : 4 }))
  }
  for (const address of ['127.0.0.1', '::1', '10.0.0.1', '169.254.169.254', 'fd00::1', '::ffff:127.0.0.1']) {
    const outbound = openOutbound(t, { lookup: lookup([address]) })
    const failure = await failureOf(outbound.request({ url: `http://rebind.example:${server.port}/` }, signal))
    t.match(failure, NOT_PUBLIC, address)
    t.match(failure, /^rebind\.example /)
    t.notMatch(failure, address)
  }
  t.ok(names.every(name => name === 'rebind.example'))
  t.equal(server.requests.length, 0)
})

t.test('a name with a public and a private address is connected to by the public one only', async t => {
  const server = await startServer(t, respond(200))
  const lookup = async () => [{ address: '192.0.2.1', family: 4 }, { address: '127.0.0.1', family: 4 }]
  const outbound = openOutbound(t, { lookup, privateHosts: [{ host: '192.0.2.1' }], connectTimeout: 200 })
  await failureOf(outbound.request({ url: `http://mixed.example:${server.port}/` }, signal))
  t.equal(server.requests.length, 0, 'the excepted address leads nowhere, and the other one is not tried')
})

t.test('a name that was public when it was looked up first is looked at again for each connection', async t => {
  // 127.0.0.2 stands for the public address, since nothing else can be listened on.
  const server = await startServer(t, respond(200, {}, { connection: 'close' }), '127.0.0.2')
  const inside = await startServer(t, respond(200, { secret: true }))
  let lookups = 0
  const lookup = async () => [{ address: lookups++ === 0 ? '127.0.0.2' : '127.0.0.1', family: 4 }]
  const outbound = openOutbound(t, { lookup, privateHosts: [{ host: '127.0.0.2' }] })
  t.equal((await outbound.request({ url: `http://rebind.example:${server.port}/` }, signal)).status, 200)
  t.match(await failureOf(outbound.request({ url: `http://rebind.example:${server.port}/` }, signal)), NOT_PUBLIC)
  t.match(await failureOf(outbound.request({ url: `http://rebind.example:${inside.port}/` }, signal)), NOT_PUBLIC)
  t.equal(lookups, 3)
  t.equal(inside.requests.length, 0)
})

t.test('one lookup is all that a connection takes: what was checked is what is connected to', async t => {
  const server = await startServer(t, respond(200), '127.0.0.2')
  const inside = await startServer(t, respond(200))
  let lookups = 0
  const lookup = async () => [{ address: lookups++ === 0 ? '127.0.0.2' : '127.0.0.1', family: 4 }]
  const outbound = openOutbound(t, { lookup, privateHosts: [{ host: '127.0.0.2' }] })
  await outbound.request({ url: `http://rebind.example:${server.port}/` }, signal)
  t.equal(lookups, 1)
  t.equal(inside.requests.length, 0)
})

t.test('exceptions open a host by name, address, range and port, and nothing else', async t => {
  const server = await startServer(t, respond(200))
  const url = `http://localhost:${server.port}/`
  const lookup = async () => [{ address: '127.0.0.1', family: 4 }]
  for (const privateHosts of [[{ host: 'localhost' }], [{ host: '127.0.0.1' }], [{ host: '127.0.0.0', bits: 8 }], [{ host: 'localhost', port: server.port }]]) {
    t.equal((await openOutbound(t, { lookup, privateHosts }).request({ url }, signal)).status, 200, JSON.stringify(privateHosts))
  }
  for (const privateHosts of [[{ host: 'other' }], [{ host: '127.0.0.2' }], [{ host: 'localhost', port: server.port + 1 }], [{ host: '127.0.0.1', port: 80 }]]) {
    t.match(await failureOf(openOutbound(t, { lookup, privateHosts }).request({ url }, signal)), NOT_PUBLIC)
  }
})

t.test('a redirect leads inside no more than a URL does', async t => {
  const inside = await startServer(t, respond(200, { secret: true }))
  const targets = [`http://127.0.0.1:${inside.port}/`, 'http://169.254.169.254/latest/meta-data', `http://[::1]:${inside.port}/`, `//127.0.0.1:${inside.port}/x`, 'http://2130706433/']
  const server = await startServer(t, (response, { url }) => { response.writeHead(302, { location: targets[Number(url.slice(1))] }).end('moved') }, '127.0.0.2')
  const outbound = openOutbound(t, { privateHosts: [{ host: '127.0.0.2' }] })
  for (const [index, target] of targets.entries()) {
    const failure = await failureOf(outbound.request({ url: `${server.url}/${index}` }, signal))
    t.match(failure, NOT_PUBLIC, target)
    t.notMatch(failure, /127\.0\.0\.1|169\.254/, 'without the address')
  }
  t.equal(inside.requests.length, 0)
})

t.test('only http and https, without credentials, and nothing that is no URL', async t => {
  const outbound = openOutbound(t, {})
  const cases: Array<[string, RegExp]> = [
    ['file:///etc/passwd', /http:\/\/ or https:\/\//],
    ['ftp://example.com/', /http:\/\/ or https:\/\//],
    ['data:text/plain,x', /http:\/\/ or https:\/\//],
    ['http://user:secret-word@example.com/', /user name or password/],
    ['example.com/path', /not valid/],
    ['http://', /not valid/],
    ['http://exa mple.com/', /not valid/],
    ['', /not valid/]
  ]
  for (const [url, sentence] of cases) {
    const failure = await failureOf(outbound.request({ url }, signal))
    t.match(failure, sentence, url)
    t.notMatch(failure, 'secret-word')
  }
  t.match(await failureOf(outbound.request({ url: 'http://example.com', method: 'CONNECT' }, signal)), /method must be one of GET/)
  const redirecting = await startServer(t, (response, { url }) => { response.writeHead(302, { location: decodeURIComponent(url.slice(1)) }).end() })
  for (const location of ['file:///etc/passwd', 'http://u:p@example.com/', 'http://[']) {
    t.match(await failureOf(openOutbound(t).request({ url: `${redirecting.url}/${encodeURIComponent(location)}` }, signal)), /^127\.0\.0\.1 redirects to a URL that/)
  }
})

t.test('redirects keep or change the method as HTTP has it', async t => {
  const server = await startServer(t, (response, { url }) => {
    const [, status] = /^\/(\d+)$/.exec(url) ?? []
    response.writeHead(Number(status ?? 200), status ? { location: '/end' } : {}).end('end')
  })
  const outbound = openOutbound(t)
  const expected: Array<[number, string, string, string]> = [
    [301, 'POST', 'GET', ''], [302, 'POST', 'GET', ''], [303, 'POST', 'GET', ''], [307, 'POST', 'POST', 'body'], [308, 'POST', 'POST', 'body'],
    [301, 'PUT', 'PUT', 'body'], [303, 'PUT', 'GET', ''], [303, 'HEAD', 'HEAD', ''], [302, 'GET', 'GET', ''], [303, 'DELETE', 'GET', '']
  ]
  for (const [status, method, then, body] of expected) {
    server.requests.length = 0
    await outbound.request({ url: `${server.url}/${status}`, method, body: 'body', headers: { 'content-type': 'text/plain', 'x-key': 'k' } }, signal)
    t.match(server.requests[1], { method: then, url: '/end', body, headers: { 'x-key': 'k' } }, `${status} ${method}`)
    t.equal(server.requests[1]!.headers['content-type'], then === 'GET' && method !== 'GET' ? undefined : 'text/plain')
  }
})

t.test('headers of the caller\'s own do not cross an origin, nor come back after it', async t => {
  const first = await startServer(t, (response, { url }) => {
    if (url === '/end') return response.end('end')
    response.writeHead(307, { location: `${second.url}/hop` }).end()
  })
  const second = await startServer(t, response => { response.writeHead(307, { location: `${first.url}/end` }).end() })
  const headers = { Authorization: 'Bearer t', 'X-Api-Key': 'k', Cookie: 'c=1', Accept: 'text/plain', 'Content-Type': 'application/json' }
  await openOutbound(t).request({ url: `${first.url}/start`, method: 'POST', headers, body: '{}' }, signal)
  t.match(first.requests[0]!.headers, { authorization: 'Bearer t', 'x-api-key': 'k', cookie: 'c=1', accept: 'text/plain' })
  for (const { headers, body } of [second.requests[0]!, first.requests[1]!]) {
    t.match(headers, { authorization: undefined, 'x-api-key': undefined, cookie: undefined, accept: 'text/plain', 'content-type': 'application/json' })
    t.equal(body, '{}')
  }
})

t.test('five redirects are followed, and not a sixth', async t => {
  const server = await startServer(t, (response, { url }) => {
    const left = Number(url.slice(1))
    response.writeHead(left > 0 ? 302 : 200, left > 0 ? { location: `/${left - 1}` } : {}).end()
  })
  const outbound = openOutbound(t)
  t.equal((await outbound.request({ url: `${server.url}/5` }, signal)).status, 200)
  t.match(await failureOf(outbound.request({ url: `${server.url}/6` }, signal)), /redirects more than 5 times/)
  t.match(await outbound.request({ url: `${server.url}/6`, followRedirects: false }, signal), { status: 302, headers: { location: '/5' } })
})

t.test('an answer of the limit is read, and one byte more is not', async t => {
  const server = await startServer(t, (response, { url }) => { response.end(Buffer.alloc(Number(url.slice(1)), 'x')) })
  const outbound = openOutbound(t)
  t.equal((await outbound.request({ url: `${server.url}/${1024 * 1024}` }, signal)).body.length, 1024 * 1024)
  t.match(await failureOf(outbound.request({ url: `${server.url}/${1024 * 1024 + 1}` }, signal)), /more than the 1048576 bytes/)
})

t.test('an answer without an end is read no further than the limit', async t => {
  let closed: Promise<unknown>
  const server = await startServer(t, response => {
    closed = once(response, 'close')
    const more = () => { while (!response.destroyed && response.write(Buffer.alloc(65_536))); }
    response.on('drain', more)
    more()
  })
  t.match(await failureOf(openOutbound(t).request({ url: server.url }, signal)), /more than the/)
  await closed!
})

t.test('compressed answers are read, and their limit is that of what comes out', async t => {
  const bomb = gzipSync(Buffer.alloc(50 * 1024 * 1024))
  t.ok(bomb.length < 1024 * 1024)
  const bodies: Record<string, [string, Buffer]> = {
    '/gzip': ['gzip', gzipSync('hello')],
    '/x-gzip': ['X-GZIP', gzipSync('hello')],
    '/deflate': ['deflate', deflateSync('hello')],
    '/br': ['br', brotliCompressSync('hello')],
    '/bomb': ['gzip', bomb],
    '/brotli-bomb': ['br', brotliCompressSync(Buffer.alloc(8 * 1024 * 1024))],
    '/twice': ['gzip, gzip', gzipSync(bomb)],
    '/broken': ['gzip', Buffer.from('not gzip at all')],
    '/other': ['zstd', Buffer.from('x')]
  }
  const server = await startServer(t, (response, { url }) => { response.writeHead(200, { 'content-encoding': bodies[url]![0] }).end(bodies[url]![1]) })
  const outbound = openOutbound(t)
  for (const path of ['/gzip', '/x-gzip', '/deflate', '/br']) {
    t.equal((await outbound.request({ url: server.url + path }, signal)).body.toString(), 'hello', path)
  }
  for (const path of ['/bomb', '/brotli-bomb']) t.match(await failureOf(outbound.request({ url: server.url + path }, signal)), /more than the 1048576 bytes/)
  for (const path of ['/twice', '/other']) t.match(await failureOf(outbound.request({ url: server.url + path }, signal)), /encoding that was not asked for/)
  t.match(await failureOf(outbound.request({ url: `${server.url}/broken` }, signal)), /compression is broken/)
})

t.test('an answer that is slow to begin or to end is given up', async t => {
  const server = await startServer(t, (response, { url }) => { if (url === '/drip') response.write('a') })
  const outbound = openOutbound(t)
  for (const path of ['/never', '/drip']) {
    t.match(await failureOf(outbound.request({ url: server.url + path, timeout: 50 }, signal)), /^127\.0\.0\.1 did not answer in full within 0\.05 seconds\.$/, path)
  }
})

t.test('what takes too long to connect is given up', async t => {
  const lookup = () => new Promise<never>(() => {})
  t.match(await failureOf(openOutbound(t, { lookup, connectTimeout: 20 }).request({ url: 'http://slow.example/' }, signal)), /slow\.example cannot be found in time/)
  // It accepts, and never shakes hands.
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  const outbound = openOutbound(t, { connectTimeout: 50, privateHosts: [{ host: '127.0.0.1' }] })
  const failure = await failureOf(outbound.request({ url: `https://127.0.0.1:${(silent.address() as AddressInfo).port}/` }, signal))
  t.match(failure, /took too long to connect/)
})

t.test('a run that is cancelled takes its requests along', async t => {
  const reason = new Error('cancelled')
  const run = new AbortController()
  const server = await startServer(t, (response, { url }) => { if (url === '/drip') response.write('a') })
  const outbound = openOutbound(t)
  for (const path of ['/never', '/drip']) {
    const controller = path === '/drip' ? run : new AbortController()
    const arrived = server.next()
    const request = outbound.request({ url: server.url + path }, controller.signal)
    await arrived
    controller.abort(reason)
    await t.rejects(request, reason)
  }
  const before = server.requests.length
  await t.rejects(outbound.request({ url: server.url }, run.signal), reason, 'nothing is sent for a run that is over')
  t.equal(server.requests.length, before)
})

t.test('what fails on the way is told in words, with the host and no address', async t => {
  const lookup = async (name: string) => {
    if (name === 'missing.example') throw Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' })
    return [{ address: '127.0.0.1', family: 4 }]
  }
  const closed = createServer().listen(0, '127.0.0.1')
  await once(closed, 'listening')
  const { port } = closed.address() as AddressInfo
  await new Promise(resolve => closed.close(resolve))
  const garbage = createServer(socket => { socket.end('SSH-2.0-OpenSSH\r\n\r\n') }).listen(0, '127.0.0.1')
  await once(garbage, 'listening')
  t.teardown(() => garbage.close())
  const broken = await startServer(t, response => { response.socket!.destroy() })
  const half = await startServer(t, response => { response.writeHead(200, { 'content-length': '10' }).write('half', () => response.socket!.destroy()) })
  const outbound = openOutbound(t, { lookup, privateHosts: [{ host: 'tool.example' }] })
  const cases: Array<[string, RegExp]> = [
    ['http://missing.example/', /^missing\.example cannot be found\.$/],
    [`http://tool.example:${port}/`, /^tool\.example cannot be reached \(ECONNREFUSED\)\.$/],
    [`http://tool.example:${(garbage.address() as AddressInfo).port}/`, /^tool\.example does not answer as HTTP has it\.$/],
    [`http://tool.example:${broken.port}/`, /^tool\.example broke off the connection\.$/],
    [`http://tool.example:${half.port}/`, /^tool\.example broke off the connection\.$/]
  ]
  for (const [url, sentence] of cases) {
    const failure = await failureOf(outbound.request({ url }, signal))
    t.match(failure, sentence)
    t.notMatch(failure, '127.0.0.1')
  }
})

t.test('headers that belong to the connection are ours, and those that cannot be sent are named without their value', async t => {
  const server = await startServer(t, respond(200))
  const outbound = openOutbound(t)
  await outbound.request({ url: server.url, headers: { Host: 'other.example', Connection: 'upgrade', 'Content-Length': '999', 'Transfer-Encoding': 'chunked', Expect: '100-continue', 'Accept-Encoding': 'zstd' } }, signal)
  t.match(server.requests[0]!.headers, { host: `127.0.0.1:${server.port}`, 'accept-encoding': 'gzip, deflate, br', 'user-agent': 'jeesi-railway-backend' })
  t.notOk('expect' in server.requests[0]!.headers)
  for (const [name, value] of [['x-key', 'secret-word\r\nx-evil: 1'], ['x-key', 'secret-word\u2713'], ['x key', 'secret-word'], ['', 'secret-word'], ['x-key\r\n', 'secret-word\n1']] as const) {
    const failure = await failureOf(outbound.request({ url: server.url, headers: { [name]: value } }, signal))
    t.match(failure, /header/)
    t.notMatch(failure, 'secret-word')
  }
  t.equal(server.requests.length, 1)
})

t.test('an answer can be read while it arrives, and stops at the limit as well', async t => {
  const server = await startServer(t, (response, { url }) => {
    if (url === '/empty') return response.writeHead(204).end()
    response.write('one')
    if (url === '/large') response.end(Buffer.alloc(100))
  })
  const outbound = openOutbound(t)
  const response = await outbound.stream({ url: server.url }, signal)
  const reader = response.body!.getReader()
  t.equal(Buffer.from((await reader.read()).value!).toString(), 'one')
  await reader.cancel()
  t.equal((await outbound.stream({ url: `${server.url}/empty` }, signal)).status, 204)
  let closed: Promise<unknown>
  const open = await startServer(t, response => {
    closed = once(response, 'close')
    response.write('one')
  })
  await (await outbound.stream({ url: open.url }, signal)).body!.cancel()
  await closed!
  const broken = new Promise<Error>(resolve => {
    outbound.stream({ url: `${server.url}/large`, maxBytes: 50 }, signal, resolve).then(response => response.text()).catch(() => {})
  })
  t.match(await broken, /more than the 50 bytes/)
})

t.test('a status that HTTP does not have is told in words, and its connection let go', async t => {
  let closed: Promise<unknown>
  const server = await startServer(t, response => {
    closed = once(response, 'close')
    response.writeHead(700).write('one')
  })
  t.equal(await failureOf(openOutbound(t).stream({ url: server.url }, signal)), '127.0.0.1 answered with status 700, which HTTP does not have.')
  await closed!
})

t.test('once closed it takes its connections along', async t => {
  const server = await startServer(t, () => {})
  const outbound = new Outbound({ privateHosts: [{ host: '127.0.0.1' }] })
  const arrived = server.next()
  const failure = failureOf(outbound.request({ url: server.url }, signal))
  await arrived
  await outbound.close()
  t.match(await failure, /^127\.0\.0\.1 cannot be reached\.$/)
})
