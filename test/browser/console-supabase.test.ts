import pg from 'pg'
import t from 'tap'
import { signAccessToken } from '../../src/auth/access-token.js'
import { type Page, type Route, startBrowser } from '../support/browser.js'
import { askIn, seesText, startBuilt, violationsOf, watchPage } from '../support/console.js'
import { say, startGateway } from '../support/doubles/gateway.js'
import { createPostgres, DEMO_AGENT, findPostgres, JWT_SECRET, OTHER_USER } from '../support/helper.js'

const PROJECT = 'https://project.supabase.test'
const KEY = 'sb_publishable_key_of_the_project'
const CORS = { 'access-control-allow-origin': '*', 'access-control-allow-headers': '*', 'access-control-allow-methods': '*' }

t.test('the console beside a Supabase project: its users sign in, and rows are read and written under its policies', async t => {
  const open = await startBrowser(t)
  if (!open || !await findPostgres(t)) return
  const url = await createPostgres(t)
  const project = await startProject(t, url)
  const gateway = await startGateway(t, say('From the project.'))
  const service = await startBuilt(t, gateway.url, { SUPABASE_DB_URL: url, SUPABASE_URL: PROJECT, SUPABASE_ANON_KEY: KEY, RAILWAY_BACKEND_SECRET: 'a-secret-of-the-backend-for-tests' })
  const page = await watchPage(await open())
  await page.route(/project\.supabase\.test/, route => project.answer(route))

  t.test('a wrong password is a sentence, and the right one opens the console, also after a reload', async t => {
    await page.goto(`${service.url}/console`)
    await signInWith(page, 'wrong')
    await seesText(page, 'Invalid login credentials')
    await signInWith(page, 'demo-password')
    await seesText(page, 'There is no agent to talk to yet.')
    t.equal(await page.getByRole('link', { name: 'Administration' }).count(), 0)
    await page.reload()
    await page.getByRole('link', { name: 'Agents' }).click()
    await seesText(page, 'You have no agents yet.')
    t.equal((await fetch(`${service.url}/api/agents`)).status, 404, 'the service has no rows of its own here')
  })

  t.test('makes an agent and a function by the project\'s REST interface, and talks to it by the service', async t => {
    await page.getByRole('link', { name: 'New agent' }).click()
    await page.getByLabel('Name', { exact: true }).fill('Of the project')
    await page.getByLabel('Backend of its own').fill('https://agents.example.com')
    await page.getByRole('button', { name: 'Make the agent' }).click()
    await seesText(page, 'waits for approval')
    await page.getByRole('link', { name: 'Functions' }).click()
    await page.getByRole('button', { name: 'Add: Fixed answer' }).click()
    await page.getByLabel('Name', { exact: true }).fill('hours')
    await page.getByLabel('Condition').fill('open')
    await page.getByLabel('Answer if one occurs').fill('From 9 to 17.')
    await page.getByLabel('A message').fill('When are you open?')
    await page.getByRole('button', { name: 'Try it' }).click()
    await seesText(page, 'It never runs: it has no words that run it.')
    await page.getByLabel('Words that run it').fill('when')
    await page.getByRole('button', { name: 'Try it' }).click()
    await page.locator('.outcome pre').filter({ hasText: 'From 9 to 17.' }).waitFor()
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('button', { name: 'Edit hours' }).waitFor()
    await page.getByRole('link', { name: 'Try it' }).click()
    await page.getByLabel('Your message').waitFor()
    await askIn(page, 'When are you open?')
    await seesText(page, 'From 9 to 17.')
    t.equal(gateway.calls.length, 0, 'the fixed answer took the place of the model\'s')
    t.ok(project.calls.every(({ authorization, apikey }) => apikey === KEY && (authorization === `Bearer ${KEY}` || authorization.startsWith('Bearer ey'))))
  })

  t.test('cannot write what the policies forbid, and needs nothing that the page\'s policy forbids', async t => {
    await page.goto(`${service.url}/console#/agents/${DEMO_AGENT}`)
    await seesText(page, 'This agent was deleted, or it is somebody else\'s.')
    t.strictSame(await violationsOf(page), [])
  })
})

async function signInWith (page: Page, password: string): Promise<void> {
  await page.getByLabel('E-mail').fill('other@jeesi.local')
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

/** What of a project a browser asks, with its own policies on real PostgreSQL behind it. */
async function startProject (t: { teardown (end: () => unknown): unknown }, url: string) {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  t.teardown(() => client.end())
  const calls: Array<{ authorization: string, apikey: string }> = []
  let last: Promise<unknown> = Promise.resolve()
  return {
    calls,
    async answer (route: Route): Promise<void> {
      const request = route.request()
      if (request.method() === 'OPTIONS') {
        await route.fulfill({ status: 204, headers: CORS })
        return
      }
      const { authorization = '', apikey = '' } = request.headers()
      calls.push({ authorization, apikey })
      const { pathname, searchParams } = new URL(request.url())
      const body = JSON.parse(request.postData() || '{}')
      // One after the other: there is one connection.
      const answered = last.then(() => pathname.startsWith('/auth/v1/') ? signIn(body) : asUser(client, authorization, () => restOf(client, request.method(), pathname.split('/').at(-1)!, searchParams, body)))
      last = answered.catch(() => {})
      const [status, answer] = await answered.catch(error => [403, { code: error.code, message: error.message }] as const)
      await route.fulfill({ status, headers: CORS, contentType: 'application/json', body: JSON.stringify(answer) })
    }
  }
}

type Answer = readonly [status: number, body: unknown]

async function signIn ({ password }: { password?: string }): Promise<Answer> {
  if (password !== 'demo-password') return [400, { code: 'invalid_credentials', message: 'Invalid login credentials' }]
  const user = { id: OTHER_USER, email: 'other@jeesi.local', aud: 'authenticated', role: 'authenticated', app_metadata: {}, user_metadata: {}, created_at: new Date().toISOString() }
  return [200, { access_token: await signAccessToken(JWT_SECRET, OTHER_USER, '1h'), token_type: 'bearer', expires_in: 3600, expires_at: Math.floor(Date.now() / 1000) + 3600, refresh_token: 'refresh', user }]
}

/** As PostgREST does it: the role and the claims of the token, for one transaction. */
async function asUser (client: pg.Client, authorization: string, act: () => Promise<Answer>): Promise<Answer> {
  const claims = Buffer.from(authorization.split('.')[1] ?? 'e30', 'base64url').toString()
  await client.query('begin')
  try {
    await client.query('select set_config(\'request.jwt.claims\', $1, true)', [claims])
    await client.query('set local role authenticated')
    const answer = await act()
    await client.query('commit')
    return answer
  } catch (error) {
    await client.query('rollback')
    throw error
  }
}

async function restOf (client: pg.Client, method: string, table: string, query: URLSearchParams, body: Record<string, unknown>): Promise<Answer> {
  const filters = [...query].filter(([, value]) => value.startsWith('eq.'))
  const values: unknown[] = filters.map(([, value]) => value.slice('eq.'.length))
  const where = filters.length > 0 ? `where ${filters.map(([name], index) => `${pg.escapeIdentifier(name)}::text = $${index + 1}`).join(' and ')}` : ''
  const name = `public.${pg.escapeIdentifier(table)}`
  const columns = Object.keys(body).map(column => pg.escapeIdentifier(column))
  const record = `jsonb_populate_record(null::${name}, $${values.length + 1})`
  const given = columns.map(column => `r.${column}`).join(', ')
  const sql = {
    GET: `select * from ${name} ${where} limit 500`,
    POST: `insert into ${name} (${columns.join(', ')}) select ${given} from ${record} r returning *`,
    PATCH: `update ${name} t set (${columns.join(', ')}) = (select row(${given}).* from ${record} r) ${where} returning *`,
    DELETE: `delete from ${name} ${where} returning *`
  }[method]!
  const { rows } = await client.query(sql, method === 'POST' || method === 'PATCH' ? [...values, JSON.stringify(body)] : values)
  return [200, rows]
}
