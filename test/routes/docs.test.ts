import t from 'tap'
import { BACKEND_SECRET, JWT_SECRET, startEmbedded } from '../support/helper.js'
import { readDocument } from '../docs/markdown.js'

const NOBODY = { anonymous: '' }
const VERSION = /^\d+\.\d+\.\d+/

/** Every address below /docs, as http.md has them, with the type of its answer. */
const TYPES: Record<string, string> = {
  '/docs': 'text/html; charset=utf-8',
  '/docs/page.js': 'text/javascript; charset=utf-8',
  '/docs/swagger-ui.js': 'text/javascript; charset=utf-8',
  '/docs/swagger-ui.css': 'text/css; charset=utf-8',
  '/docs/json': 'application/json; charset=utf-8',
  '/docs/asyncapi.json': 'application/json; charset=utf-8'
}

t.test('the documents of the service', async t => {
  const service = await startEmbedded(t, { NODE_ENV: 'production', EMBEDDED: 'true', RATE_LIMIT_MAX: '1000' })
  const { request } = service

  t.test('are served to everybody, in production too', async t => {
    t.match(await request('GET', '/docs/json', { headers: NOBODY }), { status: 200, body: { openapi: '3.1.0', info: { version: VERSION }, servers: [{ url: '/' }] } })
    t.match(await request('GET', '/docs/asyncapi.json', { headers: NOBODY }), { status: 200, body: { asyncapi: '3.0.0', info: { version: VERSION } } })
    t.match(await request('GET', '/docs', { headers: NOBODY }), { status: 200, body: /^<!doctype html>/ })
  })

  t.test('are those that http.md lists, each with its type, and a length for who asks for the head alone', async t => {
    const listed = readDocument('docs/reference/http.md').sections.flatMap(({ title }) => /^GET (\/docs.*)/.exec(title)?.[1] ?? [])
    t.strictSame(listed.sort(), Object.keys(TYPES).sort())
    for (const [path, type] of Object.entries(TYPES)) {
      const whole = await fetch(service.url + path)
      const { byteLength } = await whole.arrayBuffer()
      const head = await fetch(service.url + path, { method: 'HEAD' })
      for (const { status, headers } of [whole, head]) {
        t.match({ status, type: headers.get('content-type'), length: headers.get('content-length') }, { status: 200, type, length: String(byteLength) }, path)
      }
    }
  })

  t.test('are kept by clients for a while, and are not sent again to who has them', async t => {
    for (const path of Object.keys(TYPES)) {
      const { headers } = await request('GET', path, { headers: NOBODY })
      const etag = headers.get('etag')!
      t.equal(headers.get('cache-control'), 'public, max-age=300', path)
      for (const named of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
        const again = await fetch(service.url + path, { headers: { 'if-none-match': named } })
        t.match({ status: again.status, body: await again.text(), etag: again.headers.get('etag') }, { status: 304, body: '', etag }, `${path} ${named}`)
      }
      t.equal((await fetch(service.url + path, { headers: { 'if-none-match': '"other"' } })).status, 200, path)
    }
  })

  t.test('have no secret in them', async t => {
    for (const path of ['/docs/json', '/docs/asyncapi.json', '/docs', '/docs/page.js']) {
      const text = await (await fetch(service.url + path)).text()
      for (const secret of [BACKEND_SECRET, JWT_SECRET, 'test-gateway-key']) t.notOk(text.includes(secret), path)
    }
  })

  t.test('are a page that may load nothing but what the service has', async t => {
    const { headers, body } = await request('GET', '/docs', { headers: NOBODY })
    const policy = headers.get('content-security-policy')!
    t.match(policy, /default-src 'none'; script-src 'self'; style-src 'self'/)
    t.notMatch(policy, /unsafe|https?:|\*/)
    t.notMatch(body, /<script>|<style>|style=|https?:/, 'and has nothing inline')
    t.notMatch((await request('GET', '/health', { headers: NOBODY })).headers.get('content-security-policy')!, /default-src 'none'/, 'other answers have Helmet\'s')
  })

  t.test('have nothing below them or beside them', async t => {
    for (const path of ['/docs/yaml', '/docs/static/index.html', '/docs/json/x', '/docs/..%2f..%2fpackage.json', '/docs/swagger-ui-bundle.js.map']) {
      t.match(await request('GET', path, { headers: NOBODY }), { status: 404, body: { code: 'not_found' } }, path)
    }
    t.match(await request('POST', '/docs/json', { headers: NOBODY, body: {} }), { status: 405, body: { code: 'method_not_allowed' } })
  })
})

t.test('who asks for documents too often is told to wait', async t => {
  const { request } = await startEmbedded(t, { RATE_LIMIT_MAX: '3' })
  const answers = await Promise.all(Array.from({ length: 5 }, () => request('GET', '/docs/json', { headers: NOBODY })))
  t.strictSame(answers.map(({ status }) => status).sort(), [200, 200, 200, 429, 429])
})
