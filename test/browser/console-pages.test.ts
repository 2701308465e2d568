import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { PGlite } from '@electric-sql/pglite'
import { join } from 'node:path'
import t from 'tap'
import { type Page, startBrowser } from '../support/browser.js'
import { askIn, findingsOf, readAxe, seesText, signIn, startBuilt, violationsOf, watchPage } from '../support/console.js'
import { delta, ending, frame, hang, openStream, refuse, type Reply, startGateway } from '../support/doubles/gateway.js'
import { bearer, createDataDir, DEMO_AGENT, DEMO_USER, OTHER_USER } from '../support/helper.js'

const IMAGES = fileURLToPath(new URL('../../docs/images/', import.meta.url))
const DESK = { width: 1280, height: 800 }
const PHONE = { width: 390, height: 844 }
const HOSTILE = '<img src=x onerror="globalThis.broken=1"><script>globalThis.broken=1</script>'
/** Runs that are there before the service starts. */
const RUNS = 5000

/** Each page: where it is, and what stands there once it is loaded. */
const PAGES: ReadonlyArray<readonly [name: string, address: string, text: string]> = [
  ['beginning', 'talk', 'Choose an agent'],
  ['runs', 'runs', 'Newest first'],
  ['agents', 'agents', 'Python demo agent'],
  ['agent', `agents/${DEMO_AGENT}`, 'What runs it'],
  ['functions', `agents/${DEMO_AGENT}/functions`, 'Fixed answer'],
  ['schedule', `agents/${DEMO_AGENT}/schedule`, 'Cron expression'],
  ['keys', 'keys', 'Demo key'],
  ['credits', 'credits', 'Ledger'],
  ['figures', 'admin', 'Under way now'],
  ['all-runs', 'admin/runs', 'Look again'],
  ['users', 'admin/users', 'other@jeesi.local'],
  ['user', `admin/users/${OTHER_USER}`, 'Give or take credits'],
  ['all-agents', 'admin/agents', 'Unpublished agent'],
  ['addresses', 'admin/addresses', 'to look at'],
  ['actions', 'admin/actions', 'figures']
]

t.test('every page of the console, with 5,000 runs and hostile names', async t => {
  const [open, axe] = [await startBrowser(t), await readAxe(t)]
  if (!open || axe === undefined) return
  const dataDir = await createDataDir(t)
  await fillDatabase(dataDir)
  const gateway = await startGateway(t, answerByTool)
  const { url } = await startBuilt(t, gateway.url, { DATA_DIR: dataDir })
  const page = await watchPage(await open())
  await page.setViewportSize(DESK)
  await page.goto(`${url}/`)
  await seesText(page, 'Sign in to the console')
  t.strictSame(await findingsOf(page, axe), [], 'the page of who has not signed in')
  await signIn(page, url)
  const executed = await fetch(`${url}/api/agent/execute`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...await bearer(DEMO_USER) },
    body: JSON.stringify({ agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'When does the ferry leave?' }], stream: false })
  })
  const { runId } = await executed.json() as { runId: string }
  await page.goto(`${url}/console#/talk?agent=${DEMO_AGENT}`)
  await page.waitForFunction(id => (globalThis as any).document.querySelector('.beginning select')?.value === id, DEMO_AGENT)
  await askIn(page, 'When does the ferry leave?')
  await page.locator('.foot').waitFor()
  await page.emulateMedia({ colorScheme: 'dark' })
  await keepImage('talk-desk-dark', page)
  const pages = [...PAGES, ['run', `runs/${runId}`, 'Time line'], ['any-run', `admin/runs/${runId}`, 'Time line']] as const

  for (const [size, viewport] of [['desk', DESK], ['phone', PHONE]] as const) {
    for (const colorScheme of ['light', 'dark'] as const) {
      // Layout depends on the width and contrast on the colours: both pairs are enough, and all four are for who has the time.
      if (!process.env.TEST_ALL && !process.env.UPDATE_GOLDEN && (size === 'desk') !== (colorScheme === 'light')) continue
      t.test(`is usable at ${size} width, ${colorScheme}: axe finds nothing, nothing is cut off, and the policy forbids nothing`, async t => {
        await page.setViewportSize(viewport)
        await page.emulateMedia({ colorScheme })
        for (const [name, address, text] of pages) {
          await page.goto(`${url}/console#/${address}`)
          await seesText(page, text)
          await page.waitForFunction(() => (globalThis as any).document.querySelector('.loading') === null, undefined)
          t.strictSame(await findingsOf(page, axe), [], name)
          t.ok(await page.evaluate(() => {
            const { scrollWidth, clientWidth } = (globalThis as any).document.documentElement
            return scrollWidth <= clientWidth
          }, undefined), `${name} does not scroll sideways`)
          t.strictSame(await violationsOf(page), [], name)
          await keepImage(`${name}-${size}-${colorScheme}`, page)
        }
        t.equal(await page.evaluate(() => (globalThis as any).broken, undefined), undefined, 'no name became markup')
      })
    }
  }

  t.test('keeps no connection to a run that says nothing, once its page is left', async t => {
    gateway.reply = hang()
    const response = await fetch(`${url}/api/agent/execute`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...await bearer(DEMO_USER) },
      body: JSON.stringify({ agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Think' }], background: true })
    })
    const { runId: quiet } = await response.json() as { runId: string }
    const isStream = (request: { url (): string }) => request.url().includes(`/api/runs/${quiet}/events`)
    const opened = page.waitForEvent('request', isStream)
    await page.goto(`${url}/console#/runs/${quiet}`)
    await opened
    await seesText(page, 'Time line')
    const brokenOff = page.waitForEvent('requestfailed', isStream)
    await page.goto(`${url}/console#/runs`)
    await t.resolves(brokenOff)
  })

  t.test('shows a bounded part of 5,000 runs, older ones by pages, and those of a state', async t => {
    await page.setViewportSize(DESK)
    await page.goto(`${url}/console#/runs`)
    await page.getByRole('button', { name: 'Older' }).waitFor()
    t.equal(await page.locator('tbody tr').count(), 25)
    await page.getByRole('button', { name: 'Older' }).click()
    await seesText(page, 'Page 2')
    await page.getByRole('button', { name: 'Newer' }).click()
    await seesText(page, 'Page 1')
    await page.getByLabel('State', { exact: true }).selectOption('failed')
    await page.waitForFunction(() => {
      const states = [...(globalThis as any).document.querySelectorAll('.state')]
      return states.length === 25 && states.every(({ textContent }) => textContent === 'Failed')
    }, undefined)
  })
})

/** The screenshots of the documents. */
const KEPT = ['talk-desk-dark', 'runs-desk-light', 'run-desk-light', 'functions-desk-light', 'figures-desk-dark', 'credits-phone-dark', 'run-phone-light']

/** They are made anew with UPDATE_GOLDEN=1. */
async function keepImage (name: string, page: Page): Promise<void> {
  if (!process.env.UPDATE_GOLDEN || !KEPT.includes(name)) return
  await mkdir(IMAGES, { recursive: true })
  await page.screenshot({ path: join(IMAGES, `console-${name}.png`) })
}

/** Fails once, then calls a tool, then answers, as a model does that has something to do. */
const answerByTool: Reply = (response, call, number) => {
  const hasAsked = call.body.messages.some(({ role }: { role: string }) => role === 'tool')
  if (number === 1) return refuse(503, 'The upstream model is overloaded.')(response, call, number)
  if (hasAsked) {
    openStream(response).end(delta('The next ferry to Suomenlinna leaves at **14:20** from Kauppatori.\n\n```sh\ncurl -N $URL/api/runs/$ID/events\n```\nThe run goes on if you close this page.') + ending())
    return
  }
  openStream(response).end(
    frame({ choices: [{ index: 0, delta: { reasoning_content: 'The timetable knows this. I look it up for today.' } }] }) +
    frame({ choices: [{ index: 0, delta: { tool_calls: [{ index: 0, id: 'call-1', type: 'function', function: { name: 'timetable', arguments: '{"line":"ferry"}' } }] } }] }) + ending('tool_calls'))
}

/** What the demo database lacks: thousands of runs, hostile names, a backend that somebody asks for. */
async function fillDatabase (dataDir: string): Promise<void> {
  const database = await PGlite.create(join(dataDir, 'postgres'))
  await database.exec(`
    insert into public.agent_runs (user_id, agent_id, status, request_hash, response, usage, credits_charged, error, created_at, started_at, finished_at)
    select '${DEMO_USER}', '${DEMO_AGENT}', case when n % 7 = 0 then 'failed' else 'succeeded' end, 'hash', 'Answer ' || n,
        jsonb_build_object('promptTokens', 40 + n % 300, 'completionTokens', 200 + n % 900, 'totalTokens', 240 + n % 1200, 'estimated', false), 1,
        case when n % 7 = 0 then '{"code": "gateway_unavailable", "message": "The model cannot be reached, or broke off: try again later."}'::jsonb end,
        now() - n * interval '8 minutes', now() - n * interval '8 minutes', now() - n * interval '8 minutes' + (n % 50 + 1) * interval '1 second'
      from generate_series(1, ${RUNS}) as numbers (n);
    insert into public.agents (id, user_id, name, description, purpose, is_published)
      values ('${randomUUID()}', '${DEMO_USER}', '${HOSTILE}', '${HOSTILE}', '', true);
    insert into public.agent_functions (agent_id, name, description, function_type, config) values ('${DEMO_AGENT}', 'timetable', 'When a line leaves.', 'data_transform',
      '{"transform_type": "format", "template": "{{line}}: 14:20, 14:40, 15:00", "parameters": {"type": "object", "properties": {"line": {"type": "string"}}}}');
    update public.agents set railway_url_requested = 'https://agents.example.com', railway_url_requested_at = now() where id = '${DEMO_AGENT}';
    insert into public.credit_usage (user_id, agent_id, credits_used, operation_type, created_at)
      select '${OTHER_USER}', null, 0, 'note', now() - n * interval '1 hour' from generate_series(1, 60) as numbers (n);`)
  await database.close()
}
