import { request as send } from 'node:http'
import t from 'tap'
import { parseConfig } from '../../src/config/config.js'
import { consolePolicy } from '../../src/http/console/page.js'
import { DEMO_USER, JWT_SECRET, OTHER_USER, startEmbedded } from '../support/helper.js'

const ANONYMOUS = { anonymous: '' }

t.test('the console\'s page and its sign-in', async t => {
  const service = await startEmbedded(t)
  const { request } = service

  t.test('is led to from the root, with a policy that allows the service alone', async t => {
    for (const path of ['/', '/console']) {
      const { status, headers, body } = await request('GET', path, { headers: ANONYMOUS })
      t.match({ status, type: headers.get('content-type'), cache: headers.get('cache-control') }, { status: 200, type: 'text/html; charset=utf-8', cache: 'no-cache' })
      t.equal(headers.get('content-security-policy'), consolePolicy())
      t.notMatch(headers.get('content-security-policy'), /unsafe|\*/)
      t.notMatch(body, /<style|<script(?![^>]+src=)|style=| on\w+=/, 'nothing stands in the page itself')
      t.equal((await request('GET', path, { headers: { ...ANONYMOUS, 'if-none-match': headers.get('etag')! } })).status, 304)
    }
    t.equal((await request('GET', '/console/package.json', { headers: ANONYMOUS })).status, 404)
    t.match(consolePolicy('https://abc.supabase.co/'), /connect-src 'self' https:\/\/abc\.supabase\.co;/)
  })

  t.test('lists demo users and signs them in for an hour, by a session like any other', async t => {
    t.match((await request('GET', '/api/console', { headers: ANONYMOUS })).body, {
      signIn: 'demo', supabaseUrl: null, supabaseKey: null, users: [{ userId: DEMO_USER, email: 'demo@jeesi.local', isAdmin: true }, { userId: OTHER_USER, isAdmin: false }]
    })
    const { status, headers, body } = await request('POST', '/api/console/sessions', { body: { userId: OTHER_USER }, headers: ANONYMOUS })
    t.equal(status, 201)
    t.equal(headers.get('cache-control'), 'no-store')
    t.ok(Date.parse(body.expiresAt) - Date.now() <= 3_600_000)
    t.match((await request('GET', '/api/credits', { headers: { authorization: `Bearer ${body.token}` } })).body, { creditsRemaining: 3 })
  })

  t.test('tells nobody of demo users, and signs none in, who does not ask on the machine itself', async t => {
    const { port, hostname } = new URL(service.url)
    const elsewhere: Array<Record<string, string>> = [
      { host: 'rebound.example.com' }, { origin: 'http://localhost:5173' }, { origin: 'null' }, { 'sec-fetch-site': 'cross-site' }, { 'sec-fetch-site': 'same-site' },
      { 'x-forwarded-for': '203.0.113.7' }, { 'x-real-ip': '203.0.113.7' }, { forwarded: 'for=203.0.113.7' }, { via: '1.1 proxy' }
    ]
    const ask = (method: string, path: string, headers: Record<string, string>, body = '') => new Promise<{ status: number, body: any }>((resolve, reject) => {
      // Not by fetch, which sends a Host of its own.
      send({ hostname, port, method, path, headers: { host: `${hostname}:${port}`, ...headers, ...(body && { 'content-type': 'application/json', 'content-length': String(body.length) }) } }, response => {
        let text = ''
        response.setEncoding('utf8').on('data', (part: string) => { text += part }).on('end', () => resolve({ status: response.statusCode!, body: JSON.parse(text) }))
      }).on('error', reject).end(body)
    })
    const who = JSON.stringify({ userId: DEMO_USER })
    t.equal((await ask('POST', '/api/console/sessions', {}, who)).status, 201)
    for (const headers of elsewhere) {
      t.match(await ask('POST', '/api/console/sessions', headers, who), { status: 403, body: { code: 'forbidden' } }, JSON.stringify(headers))
      t.match((await ask('GET', '/api/console', headers)).body, { signIn: 'token', users: [] }, JSON.stringify(headers))
    }
  })
})

t.test('in production there is no console and no demo user, unless the console is asked for, and then still no demo user', async t => {
  const SECRETS = { NODE_ENV: 'production', EMBEDDED: 'true', RAILWAY_BACKEND_SECRET: 'f3a9c1d27b684e05a1b2c3d4e5f60718', SUPABASE_JWT_SECRET: '0c9a8b7d6e5f41322a1b3c4d5e6f7a89' }
  t.equal(parseConfig({ ...SECRETS }).console, false)
  const off = await startEmbedded(t, SECRETS)
  for (const path of ['/', '/console', '/console/console.js', '/api/console']) t.equal((await off.request('GET', path, { headers: ANONYMOUS })).status, 404, path)
  t.equal((await off.request('POST', '/api/console/sessions', { body: { userId: DEMO_USER }, headers: ANONYMOUS })).status, 404)
  const on = await startEmbedded(t, { ...SECRETS, CONSOLE: 'true' })
  t.equal((await on.request('GET', '/console', { headers: ANONYMOUS })).status, 200)
  t.match((await on.request('GET', '/api/console', { headers: ANONYMOUS })).body, { signIn: 'token', users: [] })
  t.equal((await on.request('POST', '/api/console/sessions', { body: { userId: DEMO_USER }, headers: ANONYMOUS })).status, 404)
  t.notMatch(SECRETS.SUPABASE_JWT_SECRET, JWT_SECRET)
})
