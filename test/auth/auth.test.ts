import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, request as forward } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import { exportJWK, exportSPKI, generateKeyPair, type JWK, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose'
import t, { type Test } from 'tap'
import { startPostgrest } from '../support/doubles/postgrest.js'
import {
  BACKEND_SECRET, bearer, createDataDir, DEMO_AGENT, DEMO_KEY, DEMO_USER, JWT_SECRET, OTHER_USER, type Service,
  startService
} from '../support/helper.js'

const SERVICE_KEY = 'the-service-role-key-of-these-tests'
const GOOD = { sub: DEMO_USER, role: 'authenticated', aud: 'authenticated' }
const IN_AN_HOUR = Math.floor(Date.now() / 1000) + 3600

interface SignOptions { alg?: string, kid?: string, key?: Parameters<SignJWT['sign']>[0], exp?: number | null }

/** A token with these claims beside good ones; signed with the shared secret unless told otherwise. */
function sign (claims: JWTPayload = {}, { alg = 'HS256', kid, key = secretOf(JWT_SECRET), exp = IN_AN_HOUR }: SignOptions = {}): Promise<string> {
  const jwt = new SignJWT({ ...GOOD, ...claims }).setProtectedHeader({ alg, kid })
  return (exp === null ? jwt : jwt.setExpirationTime(exp)).sign(key)
}

function secretOf (text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** How `GET /api/credits` answers to these headers, or to a token. */
function ask ({ request }: Service, headers: string | Record<string, string>) {
  return request('GET', '/api/credits', { headers: typeof headers === 'string' ? { authorization: `Bearer ${headers}` } : headers })
}

async function refused (t: Test, service: Service, headers: string | Record<string, string>, why: string): Promise<void> {
  const { status, body } = await ask(service, headers)
  t.equal(status, 401, why)
  t.match(body, { code: 'unauthorized', statusCode: 401, error: String, requestId: String }, why)
}

t.test('a token that was verified a moment ago is refused all the same once it has expired', async t => {
  const service = await startService(t)
  const now = Date.now()
  let passed = 0
  t.intercept(Date, 'now', { value: () => now + passed })
  const token = await sign({}, { exp: Math.floor(now / 1000) + 10 })
  t.equal((await ask(service, token)).status, 200)
  t.equal((await ask(service, token)).status, 200)
  passed = 12_000
  await refused(t, service, token, 'expired')
})

t.test('access tokens signed with the shared secret', async t => {
  const service = await startService(t)

  t.test('let their user in', async t => {
    const { status, body } = await ask(service, await sign())
    t.equal(status, 200)
    t.match(body, { creditsRemaining: 100, creditsReserved: 0, creditsUsedThisMonth: 0, planType: String })
    t.match((await ask(service, await sign({ sub: OTHER_USER }))).body, { creditsRemaining: 3 }, 'each to their own')
    t.match((await ask(service, { authorization: `bearer ${await sign()}` })).status, 200, 'the scheme\'s case does not matter')
  })

  t.test('are refused when expired, and the caller is told so', async t => {
    const { status, body } = await ask(service, await sign({}, { exp: 1_700_000_000 }))
    t.equal(status, 401)
    t.match(body, { code: 'unauthorized', error: /expired/ })
  })

  t.test('are good by either secret while that is changed', async t => {
    const next = 'the-next-jwt-secret-of-these-tests-alone'
    const changing = await startService(t, { SUPABASE_JWT_SECRET: next, SUPABASE_JWT_SECRET_PREVIOUS: JWT_SECRET })
    for (const key of [next, JWT_SECRET]) t.equal((await ask(changing, await sign({}, { key: secretOf(key) }))).status, 200)
    await refused(t, changing, await sign({}, { key: secretOf('another secret that nobody knows of') }), 'another secret')
    t.match((await ask(changing, await sign({}, { exp: 1_700_000_000 }))).body, { error: /expired/ }, 'what the old one has signed is told why, too')
  })

  t.test('are refused when anything about them is wrong', async t => {
    await refused(t, service, await sign({}, { key: secretOf('another secret that nobody knows of') }), 'another secret')
    await refused(t, service, await sign({}, { exp: null }), 'no exp')
    await refused(t, service, await sign({ aud: 'anon' }), 'another audience')
    await refused(t, service, await sign({ aud: undefined }), 'no audience')
    await refused(t, service, await sign({ role: 'anon' }), 'role anon')
    await refused(t, service, await sign({ role: 'service_role' }), 'role service_role')
    await refused(t, service, await sign({ role: undefined }), 'no role')
    await refused(t, service, await sign({ sub: 'demo@jeesi.local' }), 'sub is no uuid')
    await refused(t, service, await sign({ sub: undefined }), 'no sub')
    await refused(t, service, await sign({ nbf: IN_AN_HOUR }), 'not valid yet')
    await refused(t, service, await sign({}, { alg: 'HS512' }), 'another algorithm')
    await refused(t, service, new UnsecuredJWT(GOOD).setExpirationTime(IN_AN_HOUR).encode(), 'alg none')
    const [header, , signature] = (await sign()).split('.')
    const payload = Buffer.from(JSON.stringify({ ...GOOD, sub: OTHER_USER, exp: IN_AN_HOUR })).toString('base64url')
    await refused(t, service, `${header}.${payload}.${signature}`, 'another payload under a good signature')
  })

  t.test('are refused when they are no tokens at all', async t => {
    for (const token of ['garbage', 'a.b.c', '..', '.', 'e30.e30.e30', 'bnVsbA.bnVsbA.bnVsbA', 'x'.repeat(10_000)]) {
      await refused(t, service, token, token.slice(0, 40))
    }
    await refused(t, service, { authorization: 'Bearer' }, 'no token')
    await refused(t, service, { authorization: `Basic ${await sign()}` }, 'another scheme')
    await refused(t, service, { anonymous: '' }, 'no header')
  })

  t.test('longer than any header may be are refused in the shape of every error', async t => {
    const { status, body } = await ask(service, 'x'.repeat(20_000))
    t.equal(status, 431)
    t.match(body, { error: String, code: String, statusCode: 431, requestId: String })
  })
})

/** A Supabase project: its database over REST and its auth server's keys, at one address. */
async function startSupabase (t: Test) {
  const sql = new PGlite({ dataDir: join(await createDataDir(t), 'postgres') })
  t.teardown(() => sql.close())
  // The balance shows whose a key is: a key without the scope may not read it.
  await sql.query("update public.api_keys set scopes = '{read}'")
  const rest = await startPostgrest(t, {
    async query (text, values) { return (await sql.query<Record<string, any>>(text, values)).rows }
  }, SERVICE_KEY)
  const project = { url: '', sql, keys: [] as JWK[], isDown: false, keyRequests: 0 }
  const server = createServer((request, response) => {
    if (request.url === '/auth/v1/.well-known/jwks.json') {
      project.keyRequests++
      response.writeHead(project.isDown ? 500 : 200, { 'content-type': 'application/json' }).end(JSON.stringify({ keys: project.keys }))
    } else {
      const onward = forward(rest + request.url, { method: request.method, headers: request.headers }, answer => {
        answer.pipe(response.writeHead(answer.statusCode!, answer.headers))
      })
      request.pipe(onward)
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  project.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return project
}

async function createKey (alg: 'ES256' | 'RS256', kid: string) {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
  const signer = { alg, kid, key: privateKey }
  return { signer, pem: await exportSPKI(publicKey), jwk: { ...await exportJWK(publicKey), alg, kid, use: 'sig' } }
}

t.test('a Supabase project with published keys', async t => {
  const project = await startSupabase(t)
  const [es, rs] = [await createKey('ES256', 'key-es'), await createKey('RS256', 'key-rs')]
  project.keys = [es.jwk, rs.jwk]
  const service = await startService(t, { SUPABASE_URL: project.url, SUPABASE_SERVICE_ROLE_KEY: SERVICE_KEY })

  t.test('vouches for tokens signed by its keys, and is asked for them once', async t => {
    const answers = await Promise.all([es, rs, es, rs].map(async ({ signer }) => ask(service, await sign({}, signer))))
    t.same(answers.map(({ status }) => status), [200, 200, 200, 200])
    t.match(answers[0]!.body, { creditsRemaining: 100 })
    t.equal((await ask(service, await sign())).status, 200, 'the shared secret still counts')
    t.equal(project.keyRequests, 1)
  })

  t.test('never has its public keys taken for secrets, nor one key for another', async t => {
    for (const { pem, signer: { kid } } of [es, rs]) {
      for (const text of [pem, pem.trim(), `${pem}\n`]) {
        await refused(t, service, await sign({}, { kid, key: secretOf(text) }), `HS256 with the public key ${kid}`)
      }
    }
    await refused(t, service, await sign({}, { ...es.signer, kid: 'key-rs' }), 'the kid of another key')
    await refused(t, service, await sign({}, { ...(await createKey('ES256', 'key-es')).signer }), 'another key of that name')
    const none = Buffer.from('{"alg":"none","kid":"key-es"}').toString('base64url')
    await refused(t, service, `${none}.${(await sign()).split('.')[1]}.`, 'no algorithm')
  })

  t.test('and only for its own', async t => {
    const iss = `${project.url}/auth/v1`
    t.equal((await ask(service, await sign({ iss }, es.signer))).status, 200)
    await refused(t, service, await sign({ iss: 'https://elsewhere.supabase.co/auth/v1' }, es.signer), 'another project')
    await refused(t, service, await sign({ iss: 'https://elsewhere.supabase.co/auth/v1' }), 'another project, same secret')
  })

  t.test('is asked for an unknown kid once a minute at most, and new keys are found then', async t => {
    const fresh = await createKey('ES256', 'key-fresh')
    project.keys = [es.jwk, rs.jwk, fresh.jwk]
    for (let i = 0; i < 10; i++) await refused(t, service, await sign({}, fresh.signer), 'within the minute')
    t.equal(project.keyRequests, 1)
    const { now } = Date
    t.intercept(Date, 'now', { value: () => now() + 61_000 })
    t.equal((await ask(service, await sign({}, fresh.signer))).status, 200, 'after a minute')
    for (let i = 0; i < 10; i++) await refused(t, service, await sign({}, { ...fresh.signer, kid: `no-key-${i}` }), 'unknown for good')
    t.equal(project.keyRequests, 2)
  })

  t.test('lets API keys in as their user, before a token beside them', async t => {
    t.match(await ask(service, { 'x-api-key': DEMO_KEY }), { status: 200, body: { creditsRemaining: 100 } })
    t.match(await ask(service, { 'x-api-key': DEMO_KEY, ...await bearer(OTHER_USER) }), { status: 200, body: { creditsRemaining: 100 } })
    await refused(t, service, { 'x-api-key': 'jeesi_no_such_key', ...await bearer() }, 'an unknown key beside a good token')
    await refused(t, service, { 'x-api-key': 'jeesi_no_such_key' }, 'unknown')
    await refused(t, service, { 'x-api-key': DEMO_KEY.toUpperCase() }, 'in another case')
    await refused(t, service, { 'x-api-key': '' }, 'empty')
    t.match(await ask(service, { 'x-api-key': '', ...await bearer(OTHER_USER) }), { status: 200, body: { creditsRemaining: 3 } }, 'an empty header is no key')
    await refused(t, service, { 'x-api-key': (await bearer()).authorization!.slice(7) }, 'a token is no key')
    const { rows: [key] } = await project.sql.query<{ last_used_at: Date }>('select last_used_at from public.api_keys')
    t.ok(key!.last_used_at, 'when it was used is noted')
    await project.sql.query('update public.api_keys set is_active = false')
    await refused(t, service, { 'x-api-key': DEMO_KEY }, 'no longer active')
  })

  t.test('lets in by the hash of a key, whatever the key looks like, in either header', async t => {
    for (const key of [`jsk_${'a1B2'.repeat(8)}`, 'jeesi_another', 'x', 'two.dots.only', 'eyJhbGciOiJIUzI1NiJ9', `${Buffer.from('"text"').toString('base64url')}.a.b`]) {
      await project.sql.query('insert into public.api_keys (user_id, key_name, key_hash, key_prefix, scopes) values ($1, $2, $3, $4, array[\'read\'])',
        [OTHER_USER, 'A key', createHash('sha256').update(key).digest('hex'), key.slice(0, 8)])
      t.match(await ask(service, { 'x-api-key': key }), { status: 200, body: { creditsRemaining: 3 } }, key)
      t.match(await ask(service, key), { status: 200, body: { creditsRemaining: 3 } }, `Bearer ${key}`)
    }
  })
})

t.test('while a project\'s keys cannot be fetched', async t => {
  const project = await startSupabase(t)
  const es = await createKey('ES256', 'key-es')
  project.keys = [es.jwk]
  project.isDown = true
  const service = await startService(t, { SUPABASE_URL: project.url, SUPABASE_SERVICE_ROLE_KEY: SERVICE_KEY })
  const down = await ask(service, await sign({}, es.signer))
  t.equal(down.status, 503)
  t.match(down.body, { code: 'keys_unavailable', statusCode: 503, error: String, requestId: String })
  t.equal((await ask(service, await sign())).status, 200, 'those who need none of them come in')
  project.isDown = false
  let again
  // For a second after a failure the keys are not asked for.
  do again = await ask(service, await sign({}, es.signer))
  while (again.status === 503)
  t.equal(again.status, 200, 'and when they can, all do')
  project.isDown = true
  t.equal((await ask(service, await sign({}, es.signer))).status, 200, 'and keys that were seen before hold')
})

t.test('the edge function', async t => {
  const service = await startService(t)
  const body = { userId: DEMO_USER, agentId: DEMO_AGENT, agentConfig: {}, messages: [{ role: 'user', content: 'Hi' }], stream: false }
  const asFunction = (headers: Record<string, string>) => service.request('POST', '/api/agent/execute-validated', { body, headers })

  t.test('comes in with the backend secret alone', async t => {
    t.match(await asFunction({ 'x-railway-secret': BACKEND_SECRET }), { status: 200, body: { response: 'Hello world' } })
    for (const secret of ['', 'wrong', BACKEND_SECRET.slice(0, -1), `${BACKEND_SECRET}x`]) {
      t.match(await asFunction({ 'x-railway-secret': secret }), { status: 401, body: { code: 'unauthorized' } }, secret)
    }
    t.match(await asFunction(await bearer()), { status: 401, body: { code: 'unauthorized' } }, 'a user is none')
    t.match(await asFunction({ 'x-api-key': DEMO_KEY }), { status: 401, body: { code: 'unauthorized' } }, 'nor is a key')
    t.equal(service.gateway.calls.length, 1)
  })

  t.test('may have either secret while that is changed, and only the new one afterwards', async t => {
    const next = 'the-next-backend-secret-of-these-tests'
    const changing = await startService(t, { RAILWAY_BACKEND_SECRET: next, RAILWAY_BACKEND_SECRET_PREVIOUS: BACKEND_SECRET })
    const changed = await startService(t, { RAILWAY_BACKEND_SECRET: next })
    const statusOf = async ({ request }: Service, secret: string) => (await request('POST', '/api/agent/execute-validated', { body, headers: { 'x-railway-secret': secret } })).status
    t.same(await Promise.all([next, BACKEND_SECRET, 'another'].map(secret => statusOf(changing, secret))), [200, 200, 401])
    t.same(await Promise.all([next, BACKEND_SECRET].map(secret => statusOf(changed, secret))), [200, 401])
  })

  t.test('is told where the server has no secret', async t => {
    const without = await startService(t, { RAILWAY_BACKEND_SECRET: '' })
    const { status, body: answer } = await without.request('POST', '/api/agent/execute-validated', { body, headers: { 'x-railway-secret': '' } })
    t.equal(status, 503)
    t.match(answer, { code: 'not_configured', error: 'This agent is not available right now.' })
    t.ok(without.logs.some(line => JSON.parse(line).reason === 'RAILWAY_BACKEND_SECRET is not set'), 'the log names what is missing')
  })
})
