import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'bullmq'
import { Redis, type RedisOptions } from 'ioredis'
import t, { type Test } from 'tap'
import { findRedis, startRedis } from '../support/doubles/redis-server.js'

// What src/redis/link.ts relies on that ioredis and BullMQ do not document. A test fails if a new version changes it.

function open (t: Test, port: number, options: RedisOptions = {}): { connection: Redis, errors: Error[] } {
  const connection = new Redis({ host: '127.0.0.1', port, protocol: 2, maxRetriesPerRequest: null, ...options })
  const errors: Error[] = []
  connection.on('error', error => { errors.push(error) })
  t.teardown(() => { connection.disconnect() })
  return { connection, errors }
}

/** A server that answers the handshake of ioredis, and then each command as the test says. */
async function startFake (t: Test, answer: (socket: Socket, command: string) => void): Promise<number> {
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.on('data', data => {
      for (const command of data.toString().split(/(?=\*\d+\r\n)/)) {
        if (/\r\ninfo\r\n/i.test(command)) socket.write('$11\r\nredis_mode:\r\n')
        else if (/\r\nclient\r\n/i.test(command)) socket.write('+OK\r\n')
        else answer(socket, command)
      }
    })
    t.teardown(() => { socket.destroy() })
  }).listen(0, '127.0.0.1')
  t.teardown(() => { server.close() })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

t.test('`status` is ready while ioredis is connected, and reconnecting while it waits for its next attempt', async t => {
  if (!await findRedis(t)) return
  const server = await startRedis(t)
  const { connection } = open(t, server.port, { retryStrategy: () => 60_000 })
  await once(connection, 'ready')
  t.equal(connection.status, 'ready')
  const reconnecting = once(connection, 'reconnecting')
  await server.stop('SIGKILL')
  await reconnecting
  t.equal(connection.status, 'reconnecting')
})

t.test('`disconnect` leaves commands pending while ioredis waits for its next attempt, and `connect` and `disconnect` reject them', async t => {
  if (!await findRedis(t)) return
  const server = await startRedis(t)
  const { connection } = open(t, server.port, { retryStrategy: () => 60_000 })
  await once(connection, 'ready')
  const reconnecting = once(connection, 'reconnecting')
  await server.stop('SIGKILL')
  await reconnecting
  const outcome = connection.get('key').then(() => 'answered', error => error.message as string)
  connection.disconnect()
  t.equal(await Promise.race([outcome, delay(200, 'pending')]), 'pending', 'with this, link.ts need not connect once more')
  const { connection: other } = open(t, server.port, { retryStrategy: () => 60_000 })
  await new Promise<void>(resolve => { other.once('reconnecting', () => resolve()) })
  const rejected = other.get('key').then(() => 'answered', error => error.message as string)
  other.connect().catch(() => {})
  other.disconnect()
  t.equal(await Promise.race([rejected, delay(5_000, 'pending')]), 'Connection is closed.')
})

t.test('a worker of BullMQ opens its second connection by the `duplicate` of the one that it is given', async t => {
  if (!await findRedis(t)) return
  const server = await startRedis(t)
  const { connection } = open(t, server.port)
  const duplicates: Redis[] = []
  connection.duplicate = options => {
    const duplicate = new Redis({ ...connection.options, ...options })
    duplicates.push(duplicate)
    return duplicate
  }
  const worker = new Worker('canary', async () => {}, { connection })
  await worker.waitUntilReady()
  t.equal(duplicates.length, 1)
  await worker.close()
  for (const duplicate of duplicates) duplicate.disconnect()
})

t.test('ioredis says in these words that a command or a socket timed out, and that the connection ended', async t => {
  const silent = await startFake(t, () => {})
  const { connection: slow } = open(t, silent, { commandTimeout: 50 })
  await t.rejects(slow.get('key'), { message: /^Command timed out/ })
  const { connection: dead, errors } = open(t, silent, { socketTimeout: 50, retryStrategy: () => null })
  await t.rejects(dead.get('key'))
  t.match(errors.map(({ message }) => message).join('\n'), /^Socket timeout/m)
  const closing = await startFake(t, socket => { socket.destroy() })
  const { connection: cut } = open(t, closing, { maxRetriesPerRequest: 0, retryStrategy: () => 10 })
  await t.rejects(cut.get('key'), { message: /max retries per request/ })
  const { connection: closed } = open(t, silent)
  const command = closed.get('key')
  await once(closed, 'ready')
  closed.disconnect()
  await t.rejects(command, { message: /Connection is closed/ })
})

t.test('`reconnectOnError` is asked with the error of an answer, whose message begins with its code', async t => {
  const port = await startFake(t, socket => { socket.write('-READONLY You can\'t write against a read only replica.\r\n') })
  const asked: string[] = []
  const { connection } = open(t, port, { reconnectOnError: error => asked.push(error.message) === 0 })
  await t.rejects(connection.set('key', '1'))
  t.match(asked, [/^READONLY /])
})
