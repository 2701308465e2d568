import { createHash } from 'node:crypto'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import t, { type Test } from 'tap'
import { signAccessToken } from '../../src/auth/access-token.js'
import { passTo, startBackendDouble } from '../support/doubles/backend.js'
import { startGateway } from '../support/doubles/gateway.js'
import { findDeno, HEAVY, PRIVATE_SIMPLE_AGENT, SERVICE_KEY, SIMPLE_AGENT, startBackend, startEdge, startProject } from '../support/edge.js'
import { bearer, DEMO_AGENT, DEMO_KEY, DEMO_USER, JWT_SECRET, OTHER_USER, UNPUBLISHED_AGENT } from '../support/helper.js'

const MESSAGES = [{ role: 'user', content: 'Hi' }]
const UNKNOWN = '99999999-9999-4999-8999-999999999999'
const secret = new TextEncoder().encode(JWT_SECRET)

/** A token with these claims beside, or in place of, those of a session. */
function sign (claims: Record<string, unknown>, key: Uint8Array = secret): Promise<string> {
  return new SignJWT({ sub: DEMO_USER, role: 'authenticated', aud: 'authenticated', exp: Math.floor(Date.now() / 1000) + 3600, ...claims })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' }).sign(key)
}

t.test('who calls the edge function', async t => {
  const deno = await findDeno(t)
  if (!deno) return
  const project = await startProject(t)
  const service = await startBackend(t, project)
  const wire = await startBackendDouble(t, passTo(service.url))
  const gateway = await startGateway(t)
  const edge = await startEdge(t, deno, project, { RAILWAY_BACKEND_URL: wire.url, AI_GATEWAY_URL: gateway.url })
  const ask = (body: unknown, headers?: Record<string, string>) => edge.request('POST', '', { body, headers })
  /** Whether anything at all came of requests since. */
  const watch = async (t: Test) => {
    const count = async () => [gateway.calls.length, wire.visits.length, (await project.query('select from public.agent_runs', [])).length]
    const before = await count()
    return async () => t.same(await count(), before, 'no model was asked, nothing forwarded, no run begun')
  }

  t.test('a session by a shared secret, and an API key in either header', async t => {
    const key = `jsk_${'a1B2'.repeat(8)}`
    await project.query('insert into public.api_keys (user_id, key_name, key_hash, key_prefix) values ($1, $2, $3, $4)',
      [DEMO_USER, 'A key of the dashboard', createHash('sha256').update(key).digest('hex'), 'jsk_a1B2'])
    const inEither = (key: string): Array<Record<string, string>> => [{ 'x-api-key': key }, { authorization: `Bearer ${key}` }, { 'x-api-key': '', authorization: `Bearer ${key}` }]
    for (const headers of [await bearer(), ...inEither(DEMO_KEY), ...inEither(key)]) {
      t.match(await ask({ agentId: SIMPLE_AGENT, messages: MESSAGES, stream: false }, headers), { status: 200, body: { response: 'Hello world' } })
    }
  })

  t.test('a session by a published key', async t => {
    const { privateKey, publicKey } = await generateKeyPair('ES256')
    const jwks = { keys: [{ ...await exportJWK(publicKey), kid: 'one', alg: 'ES256', use: 'sig' }] }
    const modern = await startProject(t, { jwks })
    const there = await startEdge(t, deno, modern, { AI_GATEWAY_URL: gateway.url })
    const token = (key: typeof privateKey) => new SignJWT({ role: 'authenticated' }).setProtectedHeader({ alg: 'ES256', kid: 'one' })
      .setSubject(DEMO_USER).setAudience('authenticated').setExpirationTime('1h').sign(key)
    const body = { agentId: SIMPLE_AGENT, messages: MESSAGES, stream: false }
    t.match(await there.request('POST', '', { body, headers: { authorization: `Bearer ${await token(privateKey)}` } }), { status: 200 })
    const forged = await token((await generateKeyPair('ES256')).privateKey)
    t.match(await there.request('POST', '', { body, headers: { authorization: `Bearer ${forged}` } }), { status: 401 })
    t.match(await there.request('POST', '', { body, headers: await bearer() }), { status: 401 }, 'the secret of another project')
  })

  t.test('at an address whose path has doubled slashes', async t => {
    const { body: { runId } } = await ask({ agentId: SIMPLE_AGENT, messages: MESSAGES, stream: false }, await bearer())
    t.match(await edge.request('GET', `//runs//${runId}`, { headers: await bearer() }), { status: 200, body: { runId } })
  })

  t.test('nobody else', async t => {
    const unchanged = await watch(t)
    const header = Buffer.from('{"alg":"none","kid":"one"}').toString('base64url')
    const claims = (await sign({})).split('.')[1]
    for (const [what, headers] of Object.entries<Record<string, string>>({
      nothing: {},
      'the anon key': { authorization: `Bearer ${await sign({ role: 'anon', sub: undefined, aud: undefined })}` },
      'the service key': { authorization: `Bearer ${await sign({ role: 'service_role', sub: undefined })}` },
      'another role': { authorization: `Bearer ${await sign({ role: 'service_role' })}` },
      'the service key as it is': { authorization: `Bearer ${SERVICE_KEY}` },
      'a publishable key': { authorization: 'Bearer sb_publishable_abc', apikey: 'sb_publishable_abc' },
      garbage: { authorization: 'Bearer a.b.c' },
      'another scheme': { authorization: 'Basic YTpi' },
      'an expired session': { authorization: `Bearer ${await sign({ exp: Math.floor(Date.now() / 1000) - 10 })}` },
      'a session without end': { authorization: `Bearer ${await sign({ exp: undefined })}` },
      'a forged session': { authorization: `Bearer ${await sign({}, new TextEncoder().encode('another secret of thirty-two bytes'))}` },
      'an unsigned session': { authorization: `Bearer ${header}.${claims}.` },
      'another audience': { authorization: `Bearer ${await sign({ aud: 'other' })}` },
      'no user': { authorization: `Bearer ${await sign({ sub: 'me' })}` },
      'an unknown key': { 'x-api-key': 'jeesi_unknown' },
      'an unknown key, beside a session': { 'x-api-key': 'key', ...await bearer() },
      'the shared secret': { 'x-railway-secret': 'a-backend-secret-for-these-tests' }
    })) {
      const { status, body } = await ask({ agentId: SIMPLE_AGENT, messages: MESSAGES }, headers)
      t.equal(status, 401, what)
      t.match(body, { error: String, code: 'unauthorized', statusCode: 401, requestId: String })
    }
    await unchanged()
  })

  t.test('who has no credits is told so before anything is done', async t => {
    await project.query('update public.credit_balances set credits_remaining = 0 where user_id = $1', [OTHER_USER])
    const unchanged = await watch(t)
    for (const agentId of [SIMPLE_AGENT, DEMO_AGENT]) {
      t.match(await ask({ agentId, messages: MESSAGES }, await bearer(OTHER_USER)), { status: 402, body: { code: 'insufficient_credits', error: String } })
    }
    await unchanged()
  })

  t.test('another\'s unpublished agent is not there, nor one that is none', async t => {
    const unchanged = await watch(t)
    for (const [agentId, user] of [[UNKNOWN, DEMO_USER], [PRIVATE_SIMPLE_AGENT, OTHER_USER], [UNPUBLISHED_AGENT, OTHER_USER]] as const) {
      t.match(await ask({ agentId, messages: MESSAGES }, await bearer(user)), { status: 404, body: { code: 'agent_not_found' } })
    }
    await unchanged()
  })

  t.test('what is wrong with a body is said as the service says it', async t => {
    const unchanged = await watch(t)
    const bodies: unknown[] = [
      '', '{', '[', 'null', '5', '"text"', '[]', {}, { agentId: 7 }, { agentId: 'x', messages: MESSAGES }, { agentId: DEMO_AGENT },
      { ...HEAVY, messages: {} }, { ...HEAVY, messages: [] }, { ...HEAVY, messages: Array(2001).fill(MESSAGES[0]) }, { ...HEAVY, messages: ['Hi'] },
      { ...HEAVY, messages: [{ role: 'user' }] }, { ...HEAVY, messages: [{ role: 'tool', content: 'Hi' }] }, { ...HEAVY, messages: [{ content: 'Hi' }] },
      { ...HEAVY, messages: [{ role: null, content: null }] }, { ...HEAVY, messages: [...MESSAGES, { role: 'user', content: 7 }] },
      { ...HEAVY, messages: [{ role: 'user', content: [] }] }, { ...HEAVY, messages: [{ role: 'user', content: [{ type: 'text' }] }] },
      { ...HEAVY, messages: [{ role: 'user', content: [{ type: 'audio', text: 'x' }] }] },
      { ...HEAVY, messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: '' } }] }] },
      { ...HEAVY, messages: [{ role: 'user', content: [{ type: 'image_url', image_url: 'x' }] }] },
      { ...HEAVY, messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'file:///etc/passwd' } }] }] },
      { ...HEAVY, messages: MESSAGES, stream: 'yes' }, { ...HEAVY, messages: MESSAGES, stream: null },
      `{"agentId":"${DEMO_AGENT}","messages":[{"role":"user","content":"Hi"}],"x":${'['.repeat(200)}${']'.repeat(200)}}`
    ]
    for (const body of bodies) {
      const name = JSON.stringify(body).slice(0, 100)
      const [ours, theirs] = await Promise.all([ask(body), service.request('POST', '/api/agent/execute', { body })])
      const { requestId, ...said } = ours.body
      const { requestId: other, ...expected } = theirs.body
      t.equal(ours.status, theirs.status, name)
      t.same(said, expected, name)
    }
    t.match(await ask({ agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'x'.repeat(11 * 1024 * 1024) }] }),
      { status: 413, body: { code: 'body_too_large' } })
    for (const key of ['', 'x'.repeat(256), 'schl\xfcssel']) {
      t.match(await ask({ ...HEAVY, messages: MESSAGES }, { ...await bearer(), 'idempotency-key': key }), { status: 400, body: { code: 'bad_request' } }, key)
    }
    await unchanged()
  })

  t.test('browsers may call, from anywhere', async t => {
    const preflight = await fetch(edge.url, {
      method: 'OPTIONS', headers: { origin: 'https://app.example.com', 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-api-key' }
    })
    t.ok(preflight.ok)
    t.equal(preflight.headers.get('access-control-allow-origin'), '*')
    for (const name of ['authorization', 'x-client-info', 'apikey', 'content-type', 'user-agent', 'x-api-key', 'idempotency-key', 'last-event-id']) {
      t.ok(preflight.headers.get('access-control-allow-headers')!.includes(name), name)
    }
    const answers = [await ask({}), await edge.execute(), await edge.request('GET', '/nothing')]
    t.same(answers.map(({ status }) => status), [400, 200, 404])
    for (const { headers } of answers) {
      t.equal(headers.get('access-control-allow-origin'), '*')
      t.match(headers.get('access-control-expose-headers'), /x-run-id.*retry-after/)
    }
  })

  t.test('the address may have the platform\'s prefix, or not', async t => {
    const bare = edge.url.replace('/functions/v1', '')
    t.equal((await fetch(bare, { method: 'POST', headers: await bearer(), body: '{}' })).status, 400)
    for (const path of ['/runs', '/runs/1', `/runs/${UNKNOWN}/else`, '/x']) t.match(await edge.request('GET', path), { status: 404, body: { code: 'not_found' } })
  })

  t.test('a method that an address does not take is 405, with the one that it takes', async t => {
    const unchanged = await watch(t)
    const taken: Record<string, string> = { '': 'POST', '/': 'POST', '/visitors': 'POST', [`/runs/${UNKNOWN}`]: 'GET', [`/runs/${UNKNOWN}/events`]: 'GET', [`/runs/${UNKNOWN}/cancel`]: 'POST' }
    for (const [path, allow] of Object.entries(taken)) {
      for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'].filter(method => method !== allow)) {
        const { status, headers, body } = await edge.request(method, path, { headers: {} })
        t.equal(status, 405, `${method} ${path}`)
        t.equal(headers.get('allow'), allow)
        if (method !== 'HEAD') t.match(body, { code: 'method_not_allowed', error: `This address takes ${allow} only.`, statusCode: 405, requestId: String })
      }
      t.ok((await fetch(edge.url + path, { method: 'OPTIONS' })).ok)
    }
    await unchanged()
  })

  t.test('a body is JSON whatever it is called', async t => {
    const body = JSON.stringify({ agentId: SIMPLE_AGENT, messages: MESSAGES, stream: false })
    for (const type of [undefined, '', 'text/plain;charset=UTF-8', 'application/x-www-form-urlencoded']) {
      const headers = { ...await bearer(), ...(type === undefined ? {} : { 'content-type': type }) }
      const response = await fetch(edge.url, { method: 'POST', headers, body: new TextEncoder().encode(body) })
      t.equal(response.status, 200, String(type))
      t.match(await response.json(), { response: 'Hello world' })
      t.equal((await fetch(edge.url, { method: 'POST', headers: { 'content-type': type ?? '' }, body })).status, 401, 'of a caller who is known')
      t.match(await (await fetch(edge.url, { method: 'POST', headers, body: 'Hello' })).json(), { code: 'invalid_json', error: 'The body is not valid JSON.' })
    }
  })

  t.test('an empty x-api-key beside a good token is no key', async t => {
    const body = { agentId: SIMPLE_AGENT, messages: MESSAGES, stream: false }
    for (const key of ['', ' ', '\t']) {
      t.match(await ask(body, { ...await bearer(), 'x-api-key': key }), { status: 200 }, JSON.stringify(key))
      t.match(await ask(body, { 'x-api-key': key }), { status: 401 })
    }
    const { body: { runId } } = await ask(body, await bearer())
    t.match(await edge.request('GET', `/runs/${runId}`, { headers: { ...await bearer(), 'x-api-key': '' } }), { status: 200 })
    t.match(await edge.request('POST', '', { body: { ...HEAVY, messages: MESSAGES, stream: false }, headers: { ...await bearer(), 'x-api-key': '' } }), { status: 200 }, 'at the service behind it neither')
  })

  t.test('what the function lacks stands in its log by its name, and costs nothing', async t => {
    const unchanged = await watch(t)
    const body = { agentId: SIMPLE_AGENT, messages: MESSAGES }
    const lacks = async (name: string, variables: Record<string, string> = {}) => {
      const there = await startEdge(t, deno, project, variables)
      t.match(await there.request('POST', '', { body }), { status: 503, body: { code: 'not_configured', error: 'This agent is not available right now.' } })
      t.ok(there.logs.some(line => line.includes(`${name} is not set`)), name)
    }
    await lacks('LOVABLE_API_KEY')
    await lacks('SUPABASE_URL', { SUPABASE_URL: '' })
    await lacks('SUPABASE_SERVICE_ROLE_KEY', { SUPABASE_SERVICE_ROLE_KEY: '' })
    await unchanged()
  })

  t.test('a variable that is wrong stands in its log by its name, with what to write, and those that can be done without do', async t => {
    const there = await startEdge(t, deno, project, {
      RAILWAY_BACKEND_URL: 'service.up.railway.app', EDGE_MAX_SECONDS: '2m', FIRST_OUTPUT_SECONDS: '-1', MAX_RUN_SECONDS: '1h', ALLOW_PRIVATE_TOOL_HOSTS: 'http://tools', AI_GATEWAY_URL: gateway.url
    })
    const lines = there.logs.flatMap(line => line.startsWith('{') ? JSON.parse(line) : [])
    t.same(lines.map(({ message }) => message), [
      'RAILWAY_BACKEND_URL must be a URL that begins with http:// or https://: write https://service.up.railway.app',
      'ALLOW_PRIVATE_TOOL_HOSTS must be a comma-separated list of host names, addresses or CIDRs, each with or without :port; "http://tools" is none',
      'EDGE_MAX_SECONDS must be a plain number of seconds, without a unit: write 120 instead of 2m; until then it is 140',
      'MAX_RUN_SECONDS must be a plain number of seconds, without a unit: write 3600 instead of 1h; until then it is 86400',
      'FIRST_OUTPUT_SECONDS must be at least 0; until then it is 10'
    ].map(problem => `[AGENT-RUNTIME] ${problem}`))
    for (const { level } of lines) t.equal(level, 'error')
    t.match(await there.request('POST', '', { body: { agentId: SIMPLE_AGENT, messages: MESSAGES, stream: false } }), { status: 200 })
    t.match(await there.request('POST', '', { body: { ...HEAVY, messages: MESSAGES } }), { status: 503, body: { code: 'not_configured' } })
    t.ok(there.logs.some(line => line.includes('"cause":"RAILWAY_BACKEND_URL must be a URL that begins with')))
  })

  t.test('a project that is away is told as such, and nobody is taken for a stranger', async t => {
    const away = await startEdge(t, deno, { ...project, url: 'http://127.0.0.1:1' }, { AI_GATEWAY_URL: gateway.url })
    const body = { agentId: SIMPLE_AGENT, messages: MESSAGES }
    t.match(await away.request('POST', '', { body }), { status: 503, body: { code: 'keys_unavailable' } })
    t.match(await away.request('POST', '', { body, headers: { 'x-api-key': DEMO_KEY } }), { status: 503, body: { code: 'database_unavailable' } })
    t.match(await away.request('POST', '', { body, headers: { authorization: `Bearer ${await signAccessToken(JWT_SECRET, DEMO_USER, '-1s')}` } }), { status: 401 })
  })
})
