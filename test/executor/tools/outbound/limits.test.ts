import { createSocket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { HostsFile } from '../../../../src/executor/tools/outbound/hosts-file.js'
import { NameResolver } from '../../../../src/executor/tools/outbound/name-resolver.js'
import { Permits } from '../../../../src/executor/tools/outbound/permits.js'
import { failureOf, openOutbound, startServer } from '../../../support/tools.js'

const signal = new AbortController().signal

/** A name server that never answers; resolves with its address. */
async function startSilentNameServer (t: Test): Promise<string> {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.teardown(() => socket.close())
  return `127.0.0.1:${socket.address().port}`
}

t.test('a silent name server delays one user\'s tools, and no other lookup of the process', async t => {
  const server = await startSilentNameServer(t)
  const names = new NameResolver({ servers: [server] })
  const ended = Promise.all(Array.from({ length: 200 }, (_, n) => failureOf(names.resolve(`n${n}.example`, 'hostile', 1_500))))
  const startedAt = performance.now()
  await lookup('localhost')
  t.ok(performance.now() - startedAt < 1_000, 'the system\'s resolver, which the gateway uses, has its threads')
  t.match(await names.resolve('LOCALHOST', 'other', 1_000), [{ address: /^(127\.|::1)/ }], 'another user\'s turn comes at once')
  t.ok((await ended).every(failure => failure.endsWith('cannot be found in time.')))
})

t.test('names of the hosts file are found without a name server', async t => {
  const path = join(t.testdir({ hosts: '# comment\n10.1.2.3 tools.internal Tools # more\n::5 tools\nnonsense\n' }), 'hosts')
  const names = new NameResolver({ servers: [await startSilentNameServer(t)], hostsFile: new HostsFile(path) })
  t.same(await names.resolve('tools', 'a-user', 1_000), [{ address: '10.1.2.3', family: 4 }, { address: '::5', family: 6 }])
  t.same(await names.resolve('Tools.Internal', 'a-user', 1_000), [{ address: '10.1.2.3', family: 4 }])
  t.match(await names.resolve('a.localhost', 'a-user', 1_000), [{ address: '127.0.0.1' }, { address: '::1' }])
})

t.test('empty members of a compressed answer count', async t => {
  const empty = gzipSync('')
  const server = await startServer(t, response => {
    response.writeHead(200, { 'content-encoding': 'gzip' })
    const block = Buffer.concat(Array.from({ length: 3_000 }, () => empty))
    const more = () => { while (!response.destroyed && response.write(block)); }
    response.on('drain', more)
    more()
  })
  t.match(await failureOf(openOutbound(t).request({ url: server.url }, signal)), /more than the 1048576 bytes/)
})

t.test('extensions of chunks count', async t => {
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
    const block = `1;${'x'.repeat(8_000)}\r\na\r\n`.repeat(8)
    const more = () => { while (!socket.destroyed && socket.write(block)); }
    socket.on('drain', more)
    more()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const failure = await failureOf(openOutbound(t).request({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }, signal))
  t.match(failure, /more than the \d+ bytes|does not answer as HTTP has it/)
})

t.test('requests under way are bounded by run, by user and in all, and nobody waits for another\'s limit', async t => {
  const permits = new Permits({ all: 5, user: 3, run: 2 })
  const run = (userId: string, runId: string) => permits.acquire({ userId, runId }, signal)
  const [first] = await Promise.all([run('a', '1'), run('a', '1')])
  let granted = 0
  const third = run('a', '1').then(release => { granted++; return release })
  await run('a', '2')
  const ofUser = run('a', '3').then(() => { granted++ })
  await Promise.all([run('b', '4'), run('b', '5')])
  const leaving = new AbortController()
  const left = permits.acquire({ userId: 'c' }, leaving.signal)
  leaving.abort(new Error('left'))
  await t.rejects(left, { message: 'left' })
  t.equal(permits.size, 5)
  t.equal(granted, 0)
  first()
  first()
  await third
  t.equal(permits.size, 5, 'a permit is given back once')
  ;(await third)()
  await ofUser
  t.equal(granted, 2)
})

t.test('many origins leave no more idle sockets than are kept', async t => {
  const servers = await Promise.all(Array.from({ length: 20 }, () => startServer(t, response => { response.end('ok') })))
  const outbound = openOutbound(t)
  await Promise.all(servers.flatMap(({ url }) => Array.from({ length: 20 }, (_, n) => outbound.request({ url, owner: { userId: `user ${n}` } }, signal))))
  t.ok(outbound.sockets <= 400)
  for (const { url } of servers) await outbound.request({ url }, signal)
  t.ok(outbound.sockets <= 400)
})
