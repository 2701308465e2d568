import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parseConfig } from '../../src/config/config.js'
import { explainRefusal, judgeServer, UnfitRedisError } from '../../src/redis/fitness.js'
import { RedisLink } from '../../src/redis/link.js'
import { findFreePort } from '../support/doubles/programs.js'
import { findRedis, startRedis } from '../support/doubles/redis-server.js'
import { type Service, startService } from '../support/helper.js'
import { run } from '../support/process.js'
import { until } from '../support/until.js'

const NEVER = /secret|\n|^\s*at /

/** Connects to a Redis; returns what an operator would see, and the link. */
async function connect (t: Test, url: string, ca?: string): Promise<{ refusal?: string, lines: string[], link: RedisLink, written: string[] }> {
  const lines: string[] = []
  const write = (line: unknown) => { lines.push(String(line)) }
  const written: string[] = []
  for (const method of ['error', 'warn', 'log'] as const) t.intercept(console, method, { value: (...args: unknown[]) => { written.push(args.join(' ')) } })
  const link = new RedisLink({ url, ca }, { info: write, warn: write, error: write })
  t.teardown(() => link.close())
  const refusal = await link.connect().then(() => undefined, error => {
    t.type(error, UnfitRedisError)
    link.close()
    return error.message as string
  })
  for (const line of [...lines, refusal ?? '', ...written]) t.notMatch(line, NEVER)
  // Two warnings of ioredis cannot be turned off: about an unneeded password, and about a user who may not call INFO.
  t.strictSame(written.filter(line => !/a password was supplied|INFO command fails/.test(line)), [], 'nothing is written to the console')
  return { refusal, lines, link, written }
}

async function refuses (t: Test, url: string, line: RegExp): Promise<void> {
  const { refusal, lines } = await connect(t, url)
  t.match(refusal, line)
  t.strictSame(lines, [])
}

function linesOf ({ logs }: Service): string[] {
  return logs.map(line => JSON.parse(line).message).filter(line => /redis/i.test(line))
}

t.test('a server is judged by its INFO', async t => {
  const info = (facts: Record<string, string>) => Object.entries({ redis_version: '7.0.15', redis_mode: 'standalone', role: 'master', maxmemory_policy: 'noeviction', ...facts })
    .map(([name, value]) => `${name}:${value}`).join('\r\n')
  t.equal(judgeServer(`# Server\r\n${info({})}\r\n`), undefined)
  for (const version of ['6.2.0', '6.10.1', '7.0.0', '8.4.0', '10.0.0']) t.equal(judgeServer(info({ redis_version: version })), undefined, version)
  for (const version of ['5.0.14', '6.0.16', '6.1.9', '2.8']) t.match(judgeServer(info({ redis_version: version })), /is Redis \S+; 6\.2 or newer is needed$/, version)
  t.match(judgeServer(info({ redis_mode: 'cluster' })), /Redis Cluster/)
  t.match(judgeServer(info({ role: 'slave' })), /read-only replica/)
  t.match(judgeServer(info({ maxmemory_policy: 'allkeys-lru' })), /maxmemory-policy is allkeys-lru, .+ noeviction$/)
  t.equal(judgeServer('redis_version:7.2.0\r\nredis_mode:sentinel'), 'the server is a Sentinel; the address of the primary it watches is needed')
  t.equal(judgeServer('redis_version:7.2.0'), undefined, 'a service that hides the other fields')
})

t.test('a refusal is explained if an operator can change it', async t => {
  const error = (message: string, code?: string) => Object.assign(new Error(message), { code })
  for (const [message, line] of [
    ['NOAUTH Authentication required.', /needs a password/],
    ['Ready check failed: NOAUTH Authentication required.', /needs a password/],
    ['WRONGPASS invalid username-password pair or user is disabled.', /does not accept this user and password/],
    ['ERR invalid password', /does not accept/],
    ['NOPERM this user has no permissions to run the \'info\' command', /does not grant this user the required commands, keys and channels/],
    ['Ready check failed: NOPERM this user has no permissions', /does not grant this user the required commands, keys and channels/],
    ['ERR DB index is out of range', /no database with this number/],
    ['ERR SELECT is not allowed in cluster mode', undefined],
    ['ERR invalid DB index', /no database with this number/],
    ['ERR max number of clients reached', undefined],
    ['LOADING Redis is loading the dataset in memory', undefined],
    ['Command timed out', undefined],
    ['OOM command not allowed when used memory > \'maxmemory\'.', undefined]
  ] as const) t.match(explainRefusal(error(message)), line, message)
  for (const code of ['ECONNREFUSED', 'ENOTFOUND', 'ETIMEDOUT', 'ECONNRESET', 'EAI_AGAIN']) t.equal(explainRefusal(error(`connect ${code}`, code)), undefined, code)
  for (const code of ['DEPTH_ZERO_SELF_SIGNED_CERT', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'CERT_HAS_EXPIRED']) t.match(explainRefusal(error('bad', code)), /REDIS_CA/, code)
  t.match(explainRefusal(error('Hostname/IP does not match', 'ERR_TLS_CERT_ALTNAME_INVALID')), /is for another host/)
  t.match(explainRefusal(error('write EPROTO wrong version number', 'EPROTO')), /does not speak TLS/)
  t.match(explainRefusal(error('Unknown RESP type 72 "H". Please report this.')), /is not a Redis server/)
})

t.test('an invalid URL is reported as a problem of the configuration', async t => {
  const problems = (REDIS_URL: string, REDIS_CA?: string) => {
    try {
      parseConfig({ REDIS_URL, ...(REDIS_CA ? { REDIS_CA } : {}) })
      return []
    } catch (error) {
      return (error as { problems: string[] }).problems
    }
  }
  for (const url of ['redis://host', 'redis://:secret@host:6379/1', 'rediss://user:secret@host/', 'redis://[::1]:6379/0']) t.strictSame(problems(url), [], url)
  for (const url of ['host:6379', 'http://host', 'redis://', 'redis:///', 'redis://host/one', 'redis://host/1/2', 'redis://host:port', 'redis://:sec/ret@host:6379', 'redis://:100%@host']) {
    t.equal(problems(url).length, 1, url)
    t.match(problems(url)[0], /^REDIS_URL /, url)
    t.notMatch(problems(url).join(), /sec|100/, url)
  }
  t.match(problems('redis://host', 'no certificate'), [/^REDIS_CA /])
})

t.test('the first contact with a Redis', async t => {
  if (!await findRedis(t)) return

  t.test('that requires a password', async t => {
    const { url, client } = await startRedis(t)
    await client.config('SET', 'requirepass', 'secret')
    const withPassword = (password: string) => url.replace('//', `//${password}@`)
    await refuses(t, url, /^REDIS_URL: the server needs a password: redis:\/\/:<password>@<host>:<port>$/)
    await refuses(t, withPassword(':wrong-secret'), /^REDIS_URL: the server does not accept this user and password$/)
    await refuses(t, withPassword('nobody:secret'), /^REDIS_URL: the server does not accept this user and password$/)
    t.match(await connect(t, withPassword(':secret')), { refusal: undefined, lines: [/^Redis is connected$/] })
  })

  t.test('as a user with limited permissions', async t => {
    const { url, client } = await startRedis(t)
    await client.acl('SETUSER', 'jeesi', 'on', '>se%cret', '~jeesi:*', '&jeesi:*', '+@all')
    await client.acl('SETUSER', 'mute', 'on', '>secret', '~jeesi:*', 'resetchannels', '+@all')
    await client.acl('SETUSER', 'little', 'on', '>secret', '~other:*', '+@all')
    await client.acl('SETUSER', 'less', 'on', '>secret', '~jeesi:*', '+@read')
    t.match(await connect(t, url.replace('//', '//jeesi:se%25cret@')), { refusal: undefined, lines: [/^Redis is connected$/] })
    await refuses(t, url.replace('//', '//little:secret@'), /^REDIS_URL: the server does not grant this user the required commands, keys and channels \(.+\)$/)
    await refuses(t, url.replace('//', '//mute:secret@'), /^REDIS_URL: the server does not grant this user the required commands, keys and channels \(.+channels.+\)$/)
    await refuses(t, url.replace('//', '//less:secret@'), /^REDIS_URL: the server does not grant this user the required commands, keys and channels \(.+\)$/)
  })

  t.test('that requires no password and gets one succeeds without a message', async t => {
    const { url } = await startRedis(t)
    t.match(await connect(t, url.replace('//', '//:secret@')), { refusal: undefined, lines: [/^Redis is connected$/] })
  })

  t.test('uses RESP2 on every connection', async t => {
    const { url } = await startRedis(t)
    const { link } = await connect(t, url)
    for (const connection of [link.commands, link.openConnection(), link.openConnection().duplicate()]) t.match(await connection.client('INFO'), / resp=2/)
  })

  t.test('over TLS', async t => {
    const dir = await mkdtemp(join(tmpdir(), 'jeesi-redis-tls-'))
    t.teardown(() => rm(dir, { recursive: true, force: true }))
    const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')]
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert, '-days', '1', '-subj', '/CN=redis', '-addext', 'subjectAltName=IP:127.0.0.1'], { stdio: 'ignore' })
    const { url, port } = await startRedis(t, ['--tls-port', '%port', '--tls-cert-file', cert, '--tls-key-file', key, '--tls-auth-clients', 'no'])
    await refuses(t, url, /^REDIS_URL: the server's certificate was not accepted \(self-signed certificate\): set REDIS_CA to its authority$/)
    const ca = await readFile(cert, 'utf8')
    t.match(await connect(t, url, ca), { refusal: undefined, lines: [/^Redis is connected$/] })
    t.match((await connect(t, `rediss://localhost:${port}`, ca)).refusal, /is for another host/)
    const plain = await connect(t, `redis://127.0.0.1:${port}`)
    t.match(plain.lines, [/^Redis is unavailable: .+; until it is back, each process executes its own runs$/], 'a server that requires TLS closes other connections')
    const { url: other } = await startRedis(t)
    const tls = await connect(t, other.replace('redis:', 'rediss:'))
    t.match(tls.lines, [/^Redis is unavailable: it has not answered for 2 s \(does it speak TLS\?\); /])
  })

  t.test('at an IPv6 address, and at a name', async t => {
    const { port } = await startRedis(t, ['--bind', '127.0.0.1', '::1'])
    t.match(await connect(t, `redis://[::1]:${port}`), { refusal: undefined, lines: [/^Redis is connected$/] })
    t.match(await connect(t, `redis://localhost:${port}/15`), { refusal: undefined, lines: [/^Redis is connected$/] })
  })

  t.test('that an operator has to configure', async t => {
    const { url, client } = await startRedis(t, ['--databases', '4'])
    await refuses(t, `${url}/4`, /^REDIS_URL: the server has no database with this number$/)
    await client.config('SET', 'maxmemory-policy', 'volatile-ttl')
    await refuses(t, url, /^REDIS_URL: the server's maxmemory-policy is volatile-ttl, .+; set it to noeviction$/)
    await client.config('SET', 'maxmemory-policy', 'noeviction')
    const replica = await startRedis(t, ['--replicaof', '127.0.0.1', new URL(url).port])
    await refuses(t, replica.url, /^REDIS_URL: the server is a read-only replica; the address of its primary is needed$/)
    const cluster = await startRedis(t, ['--cluster-enabled', 'yes'])
    await refuses(t, cluster.url, /^REDIS_URL: the server is a Redis Cluster; /)
    await refuses(t, `${cluster.url}/1`, /^REDIS_URL: the server (is a Redis Cluster; |has no database with this number)/)
  })

  t.test('that is refused ends the process with one line and exit code 1', async t => {
    const { url, client } = await startRedis(t)
    await client.config('SET', 'requirepass', 'secret')
    const { code, stdout, stderr } = await run(t, 'server.js', [], {
      PORT: '0',
      SUPABASE_URL: `http://127.0.0.1:${await findFreePort()}`,
      SUPABASE_SERVICE_ROLE_KEY: 'key',
      SUPABASE_JWT_SECRET: 'secret',
      LOVABLE_API_KEY: 'key',
      REDIS_URL: url.replace('//', '//:wrong-secret@')
    })
    t.equal(code, 1)
    t.equal(stderr, 'REDIS_URL: the server does not accept this user and password\n')
    t.notMatch(stdout, /secret|listening|\n {4}at /)
  })

  t.test('that is away: the service starts, and logs once that Redis is unavailable, and once that it is connected', async t => {
    const server = await startRedis(t)
    await server.stop('SIGKILL')
    const service = await startService(t, { REDIS_URL: server.url.replace('//', '//:secret@') })
    t.match(await service.request('GET', '/ready'), { status: 200, body: { redis: 'down' } })
    t.equal((await service.execute()).text, 'Hello world')
    t.match(linesOf(service), [/^Redis is unavailable: connect ECONNREFUSED 127\.0\.0\.1:\d+; until it is back, each process executes its own runs$/])
    await server.start()
    await until(async () => linesOf(service).length, count => count > 1)
    t.match(await service.request('GET', '/ready'), { status: 200, body: { redis: 'up' } })
    t.equal((await service.execute()).text, 'Hello world')
    t.match(linesOf(service), [/^Redis is unavailable/, /^Redis is connected$/])
    await server.stop('SIGKILL')
    await until(async () => linesOf(service).length, count => count > 2)
    t.equal((await service.execute()).text, 'Hello world')
    const since = Date.now()
    await service.app.close()
    t.ok(Date.now() - since < 5_000, 'the service closes in time')
    t.match(linesOf(service).slice(2), [/^Redis is unavailable: /])
    t.notMatch(service.logs.join(''), /secret|"stack"/)
  })
})

t.test('the first contact with a server that is not Redis', async t => {
  const listen = async (answer: (socket: Socket) => void): Promise<string> => {
    const sockets = new Set<Socket>()
    const server: Server = createServer(socket => {
      sockets.add(socket.on('error', () => {}))
      answer(socket)
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    return `redis://:secret@127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  t.test('but is a web server', async t => {
    const url = await listen(socket => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')))
    await refuses(t, url, /^REDIS_URL: the server is not a Redis server$/)
  })

  t.test('but never answers, does not exist, or closes the connection', async t => {
    const silent = await connect(t, await listen(() => {}))
    t.match(silent.lines, [/^Redis is unavailable: it has not answered for 2 s; /])
    const gone = await connect(t, `redis://:secret@127.0.0.1:${await findFreePort()}`)
    t.match(gone.lines, [/^Redis is unavailable: connect ECONNREFUSED /])
    const unknown = await connect(t, 'redis://:secret@redis.invalid')
    t.match(unknown.lines, [/^Redis is unavailable: getaddrinfo \w+ redis\.invalid; /])
    const rude = await connect(t, await listen(socket => socket.destroy()))
    t.match(rude.lines, [/^Redis is unavailable: it closes the connection; /])
    for (const { link, refusal } of [silent, gone, unknown, rude]) t.match({ refusal, isUp: link.isUp }, { refusal: undefined, isUp: false })
  })
})

t.test('commands that wait for a Redis that is away are rejected when the link is closed', async t => {
  if (!await findRedis(t)) return
  const redis = await startRedis(t)
  const { link } = await connect(t, redis.url)
  const connection = link.openConnection()
  // This is how BullMQ opens the connection for blocking commands.
  const another = connection.duplicate()
  await Promise.all([once(connection, 'ready'), once(another, 'ready')])
  const asked = [connection, another].map(one => one.blpop('nothing', 0))
  // Not with events.once(), which rejects on an error: the kernel may reset the connection, and ioredis emits that first.
  const reconnects = [connection, another].map(one => new Promise(resolve => one.once('reconnecting', resolve)))
  await Promise.all([...reconnects, redis.stop('SIGKILL')])
  link.close()
  for (const one of asked) await t.rejects(one, { message: 'Connection is closed.' })
  t.equal(connection.status, 'end')
  t.equal(another.status, 'end')
})

t.test('a connection is not closed because the one before it did not answer', async t => {
  if (!await findRedis(t)) return
  const redis = await startRedis(t)
  const { link } = await connect(t, redis.url)
  const socketTimeout = 500
  const connection = link.openConnection({ socketTimeout })
  await once(connection, 'ready')
  const id = await connection.client('ID')
  const until = performance.now() + socketTimeout
  const asked = connection.blpop('nothing', 0.1)
  await redis.client.client('KILL', 'ID', id)
  await asked
  let cuts = 0
  connection.on('close', () => { cuts++ })
  while (performance.now() < until + 100) await connection.ping()
  t.equal(cuts, 0)
})
