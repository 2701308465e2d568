import { type ChildProcess, exec } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { type AddressInfo, connect as dial, createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { PGlite } from '@electric-sql/pglite'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { signAccessToken } from '../../src/auth/access-token.js'
import { hang, startGateway } from '../support/doubles/gateway.js'
import { type Sql, startPostgrest } from '../support/doubles/postgrest.js'
import { ALL_EVENTS, createDataDir, DEMO_AGENT, DEMO_KEY, DEMO_USER, OTHER_USER, parseStream, readStream, textOf } from '../support/helper.js'
import { launch, run } from '../support/process.js'

const HELLO = { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hello' }] }

t.test('with nothing configured the service prints its URL and a curl line that works as it stands', async t => {
  const service = await start(t)
  t.equal((await fetch(`${service.url}/health`)).status, 200)
  t.ok(service.curl.startsWith(`curl -N ${service.url}/api/agent/execute `))
  const raw = await runCurl(t, service.curl)
  const events = parseStream(raw)
  t.match(textOf(events), /^You said: "Hello"\. I am the built-in demo model/)
  t.match(events.at(-1), { type: 'done', creditsUsed: 1 })
  t.ok(raw.endsWith('data: [DONE]\n\n'))
})

t.test('the demo model repeats what was said, and of much the first two hundred characters, the last of them whole', async t => {
  const { url } = await start(t)
  const ask = async (content: unknown) => {
    const response = await fetch(`${url}/api/agent/execute`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': DEMO_KEY },
      body: JSON.stringify({ ...HELLO, messages: [{ role: 'user', content }] })
    })
    return /^You said: "(.*)"\. I am the built-in demo model/.exec(textOf(parseStream(await response.text())))?.[1]
  }
  const [long, split, whole, parts] = await Promise.all([
    ask('x'.repeat(201)),
    ask(`${'x'.repeat(199)}😀`),
    ask(`${'x'.repeat(198)}😀 and more`),
    ask([{ type: 'text', text: 'Look:' }, { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } }])
  ])
  t.equal(long, 'x'.repeat(200))
  t.equal(split, 'x'.repeat(199))
  t.equal(whole, `${'x'.repeat(198)}😀`)
  t.equal(parts, 'Look:')
})

t.test('SIGTERM', async t => {
  t.test('ends an idle service with code 0 at once, and WebSockets with 1012', async t => {
    const service = await start(t)
    const socket = await connect(t, service)
    const closed = once(socket, 'close')
    const { code, ms } = await end(service)
    t.equal(code, 0)
    t.ok(ms < 3000, `${ms} ms`)
    const [closeCode, reason] = await closed
    t.equal(closeCode, 1012)
    t.equal(String(reason), 'the server restarts')
  })

  t.test('that comes several times at once, as from a terminal and from npm, is one; another one ends the service at once', async t => {
    const gateway = await startGateway(t, hang('Hel'))
    const service = await start(t, { DRAIN_SECONDS: '60', AI_GATEWAY_URL: gateway.url, LOVABLE_API_KEY: 'key' })
    const arriving = gateway.nextCall()
    const streamed = fetch(`${service.url}/api/agent/execute`, { method: 'POST', headers: { 'content-type': 'application/json', 'x-api-key': DEMO_KEY }, body: JSON.stringify(HELLO) }).then(response => response.text()).catch(() => 'cut off')
    await arriving
    const begun = service.nextLine(/"SIGINT received: ending"/)
    service.child.kill('SIGINT')
    await begun
    service.child.kill('SIGTERM')
    service.child.kill('SIGINT')
    // For so long signals are one.
    await delay(2_100)
    t.equal(service.child.exitCode, null, 'it lets its run end')
    const [forced, exited] = [service.nextLine(/"SIGTERM received again: ended at once"/), once(service.child, 'exit')]
    service.child.kill('SIGTERM')
    await forced
    t.same((await exited)[0], 1)
    t.equal(await streamed, 'cut off')
  })

  t.test('is not held up by a connection on which nothing was asked', async t => {
    const service = await start(t)
    const unused = dial(Number(new URL(service.url).port), '127.0.0.1')
    t.teardown(() => { unused.destroy() })
    await once(unused, 'connect')
    const { code, ms } = await end(service)
    t.equal(code, 0)
    t.ok(ms < 3000, `${ms} ms`)
  })

  t.test('is not held up by a database that takes connections and answers nothing', async t => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    t.teardown(() => { silent.close() })
    const child = launch(t, 'server.js', [], {
      PORT: '0',
      SUPABASE_DB_URL: `postgres://user@127.0.0.1:${(silent.address() as AddressInfo).port}/db`,
      SUPABASE_JWT_SECRET: 'secret',
      LOVABLE_API_KEY: 'key'
    })
    const asked = once(silent, 'connection')
    await urlOf(child)
    await asked
    const { code, ms } = await end({ child })
    t.equal(code, 0)
    t.ok(ms < 8000, `${ms} ms`)
  })

  t.test('is not held up by a request whose body does not come', async t => {
    const service = await start(t)
    const { hostname, port } = new URL(service.url)
    const slow = dial(Number(port), hostname)
    t.teardown(() => { slow.destroy() })
    slow.write('POST /api/agent/execute HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: ' + DEMO_KEY + '\r\nContent-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n')
    await once(slow, 'data')
    const closed = once(slow, 'close')
    const { code, ms } = await end(service)
    t.equal(code, 0)
    t.ok(ms < 8000, `${ms} ms`)
    await closed
  })

  t.test('is not held up by a request that waits for a database', async t => {
    const { child, answering } = await startWithHeldAnswer(t)
    const { code, ms } = await end({ child })
    t.equal(code, 0)
    t.ok(ms < 8000, `${ms} ms`)
    const answer = await answering
    t.match([answer.status, await answer.json()], [503, { code: 'database_unavailable' }])
  })

  t.test('is not held up by a connection whose last answer came meanwhile', async t => {
    const { child, url, answering, letGo } = await startWithHeldAnswer(t)
    const ended = end({ child })
    while (await isListening(Number(new URL(url).port)));
    letGo()
    const { status, headers } = await answering
    t.strictSame([status, headers.get('connection')], [200, 'close'])
    const { code, ms } = await ended
    t.equal(code, 0)
    t.ok(ms < 3000, `${ms} ms`)
  })

  t.test('lets a run under way end, whose readers get all of it, and begins no other', async t => {
    const service = await start(t)
    const stream = await execute(service)
    const socket = await connect(t, service)
    const draining = service.nextLine(/SIGTERM received/)
    const ended = end(service)
    await draining
    const refused = await execute(service)
    t.equal(refused.status, 503)
    t.ok(Number(refused.headers.get('retry-after')) > 0)
    t.match(await refused.json(), { code: 'shutting_down' })
    t.equal(socket.readyState, WebSocket.OPEN, 'a connection lasts as long as the runs')
    const told = await readStream(stream)
    t.match(told.events.at(-1), { type: 'done', response: told.text })
    t.equal((await ended).code, 0)
  })

  t.test('after DRAIN_SECONDS lets go of what is left: its reader goes on with the next process', async t => {
    const dataDir = await createDataDir(t)
    const service = await start(t, { DATA_DIR: dataDir, DRAIN_SECONDS: '0' })
    const stream = await execute(service)
    const { code, ms } = await end(service)
    t.equal(code, 0)
    t.ok(ms < 3000, `${ms} ms`)
    const { events, headers } = await readStream(stream)
    const last = events.at(-1) as unknown as { type: string, after: number }
    t.match(last, { type: 'reconnect', after: Number })

    const next = await start(t, { DATA_DIR: dataDir })
    const key = { headers: { 'x-api-key': DEMO_KEY } }
    const rest = await readStream(await fetch(`${next.url}/api/runs/${headers.get('x-run-id')}/events?after=${last.after}`, key))
    t.match(rest.events.at(-1), { type: 'done', response: rest.text, creditsUsed: 1 })
    const session = { headers: { authorization: `Bearer ${await signAccessToken(await readFile(join(dataDir, 'jwt-secret'), 'utf8'), DEMO_USER)}` } }
    t.match(await (await fetch(`${next.url}/api/credits`, session)).json(), { creditsRemaining: 99, creditsReserved: 0, creditsUsedThisMonth: 1 })
  })
})

t.test('what an operator has to mend is one line, exit code 1 and no stack', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  const { port } = server.address() as AddressInfo
  const cases: Array<[string, Record<string, string>, RegExp]> = [
    ['a port in use', { PORT: `${port}`, HOST: '127.0.0.1' }, /^PORT is in use by another program: .+\n$/],
    ['production without a database', { NODE_ENV: 'production' }, /^config: SUPABASE_URL is missing: .+ EMBEDDED=true .+\n$/],
    ['production with a placeholder', { NODE_ENV: 'production', EMBEDDED: 'true', RAILWAY_BACKEND_SECRET: '…' }, /^config: RAILWAY_BACKEND_SECRET is a placeholder .+ openssl rand -hex 32.+\n$/],
    ['two malformed variables', { PORT: 'x', EMBEDDED: 'x' }, /^config: .*PORT.+\nconfig: .*EMBEDDED.+\n$|^config: .*EMBEDDED.+\nconfig: .*PORT.+\n$/],
    ['a host that is not there', { HOST: 'no-such-host.invalid' }, /^cannot start: .+\n$/],
    ['a data directory that is a file', { DATA_DIR: fileURLToPath(import.meta.url) }, /^cannot start: .+\n$/]
  ]
  for (const [what, variables, expected] of cases) {
    const { code, stderr } = await run(t, 'server.js', [], { DATA_DIR: await createDataDir(t), ...variables })
    t.equal(code, 1, what)
    t.match(stderr, expected, what)
    t.notMatch(stderr, /\n {4}at /, what)
  }
})

t.test('EMBEDDED=true starts in production on the embedded database', async t => {
  const child = launch(t, 'server.js', [], { PORT: '0', NODE_ENV: 'production', EMBEDDED: 'true', DATA_DIR: await createDataDir(t) })
  const url = await urlOf(child)
  t.match(await (await fetch(`${url}/ready`)).json(), { status: 'ready', database: 'up' })
  t.equal((await fetch(`${url}/api/credits`, { headers: { 'x-api-key': DEMO_KEY } })).status, 401, 'where the published key is off')
})

t.test('npm run token', async t => {
  const dataDir = await createDataDir(t)
  const token = async (...args: string[]) => run(t, 'token.js', args, { DATA_DIR: dataDir })
  const first = await token()
  const service = await start(t, { DATA_DIR: dataDir })
  const statsAs = (jwt: string) => fetch(`${service.url}/api/admin/stats`, { headers: { authorization: `Bearer ${jwt.trim()}` } })

  t.test('prints a token of the demo user, even before the first start', async t => {
    t.match(first, { code: 0, stderr: '', stdout: /^[\w-]+\.[\w-]+\.[\w-]+\n$/ })
    t.equal((await statsAs(first.stdout)).status, 200, 'who is an admin')
    t.equal(subjectOf(first.stdout), DEMO_USER)
  })

  t.test('prints one of another user', async t => {
    const { stdout } = await token('--user', OTHER_USER)
    t.equal(subjectOf(stdout), OTHER_USER)
    t.equal((await statsAs(stdout)).status, 403, 'who is none')
  })

  t.test('says in one line what is wrong, and prints no token', async t => {
    for (const args of [['--user', 'nonsense'], ['--user', ''], ['--user'], ['--usr', OTHER_USER]]) {
      t.match(await token(...args), { code: 1, stdout: '', stderr: /^\S.+\n$/ }, args.join(' '))
    }
    t.match(await run(t, 'token.js', [], { SUPABASE_DB_URL: 'postgres://x', SUPABASE_URL: 'http://x', LOVABLE_API_KEY: 'x' }),
      { code: 1, stdout: '', stderr: /^SUPABASE_JWT_SECRET is not set: .+\n$/ })
  })
})

/** Pastes a line into a shell; a machine without curl makes the same request by fetch. */
async function runCurl (t: Test, line: string): Promise<string> {
  const { stdout, code } = await new Promise<{ stdout: string, code: unknown }>(resolve => {
    exec(line, { shell: '/bin/sh' }, (error, stdout) => resolve({ stdout, code: error ? error.code : 0 }))
  })
  if (code !== 127) return stdout
  t.comment('LEFT OUT: no curl on this machine; its line is parsed, and the request made by fetch')
  const headers = [...line.matchAll(/-H '([^:]+): ([^']+)'/g)].map(([, name, value]) => [name, value] as [string, string])
  const response = await fetch(/https?:\S+/.exec(line)![0], { method: 'POST', headers, body: /-d '([^']+)'/.exec(line)![1] })
  return response.text()
}

function subjectOf (token: string): unknown {
  return JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()).sub
}

function execute (service: Started): Promise<Response> {
  const headers = { 'content-type': 'application/json', 'x-api-key': DEMO_KEY, ...ALL_EVENTS }
  return fetch(`${service.url}/api/agent/execute`, { method: 'POST', headers, body: JSON.stringify(HELLO) })
}

/** A WebSocket whose user is known. */
async function connect (t: Test, service: Started): Promise<WebSocket> {
  const socket = new WebSocket(`${service.url.replace('http', 'ws')}/ws?token=${DEMO_KEY}&events=*`)
  t.teardown(() => socket.terminate())
  await once(socket, 'message')
  return socket
}

/** A service with a request under way, which its database does not answer until it is let go. */
async function startWithHeldAnswer (t: Test) {
  const pglite = await PGlite.create(join(await createDataDir(t), 'postgres'))
  t.teardown(() => pglite.close())
  let letGo = () => {}
  const held = new Promise<void>(resolve => { letGo = resolve })
  let hear = () => {}
  const asked = new Promise<void>(resolve => { hear = resolve })
  const sql: Sql = {
    async query (text, values) {
      if (text.includes('get_credits')) {
        hear()
        await held
      }
      return (await pglite.query<Record<string, unknown>>(text, values)).rows
    }
  }
  const child = launch(t, 'server.js', [], {
    PORT: '0',
    SUPABASE_URL: await startPostgrest(t, sql, 'key'),
    SUPABASE_SERVICE_ROLE_KEY: 'key',
    SUPABASE_JWT_SECRET: 'secret',
    LOVABLE_API_KEY: 'key'
  })
  const url = await urlOf(child)
  const answering = fetch(`${url}/api/credits`, { headers: { authorization: `Bearer ${await signAccessToken('secret', DEMO_USER)}` } })
  await asked
  return { child, url, answering, letGo }
}

function isListening (port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = dial(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

interface Started { child: ChildProcess, url: string, curl: string, nextLine (pattern: RegExp): Promise<string> }

/** Starts the service and waits until it listens, and has said how to try it. */
async function start (t: Test, variables: Record<string, string> = {}): Promise<Started> {
  const child = launch(t, 'server.js', [], { PORT: '0', DATA_DIR: variables.DATA_DIR ?? await createDataDir(t), ...variables })
  const lines = createInterface({ input: child.stdout! })
  const failure = text(child.stderr!)
  const nextLine = (pattern: RegExp) => new Promise<string>((resolve, reject) => {
    lines.on('line', line => { if (pattern.test(line)) resolve(line) })
    lines.once('close', async () => reject(new Error(`The service ended: ${await failure}`)))
  })
  const curl = nextLine(/^ {2}curl /)
  const url = /listening at ([^"]+)/.exec(await nextLine(/"listening at /))![1]!
  return { child, url, curl: (await curl).trim(), nextLine }
}

/** Where a process listens, once it does. */
async function urlOf (child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stdout! })) {
    const url = /listening at ([^"]+)/.exec(line)?.[1]
    if (url) return url
  }
  throw new Error(`The service ended: ${await text(child.stderr!)}`)
}

async function end ({ child }: Pick<Started, 'child'>): Promise<{ code: number, ms: number }> {
  const since = performance.now()
  child.kill('SIGTERM')
  const [code] = await once(child, 'exit')
  return { code, ms: performance.now() - since }
}
